#include <algorithm>

#include "clients/cpp/testing/fake_calls.h"

namespace dunlin::testing {
namespace {

constexpr size_t kFrameBytes = 4096;

uint32_t DetachedBinding(v1::SubscribeRequest request) {
  return request.mutable_detach()->binding();
}

}  // namespace

grpc::Status SubscribeCall::Run() {
  {
    MutexLock lock(broker_.mutex_);
    detach_round_ = broker_.detach_round_;
  }
  std::thread writer([this] { Send(); });
  grpc::Status status;
  for (v1::SubscribeRequest request; status.ok() && stream_.Read(&request);) {
    status = Handle(request);
  }
  {
    MutexLock lock(broker_.mutex_);
    done_ = true;
    broker_.changed_.SignalAll();
  }
  writer.join();
  return status;
}

void SubscribeCall::Send() {
  for (;;) {
    v1::SubscribeResponse response;
    {
      MutexLock lock(broker_.mutex_);
      for (;;) {
        if (done_ || broker_.stopping_) return;
        if (broker_.hangs_ && (control_.empty() || !control_.front().has_opened())) {
          broker_.changed_.Wait(broker_.mutex_);
          continue;
        }
        if (detach_round_ != broker_.detach_round_) DetachAll();
        if (!broker_.hold_settled_) {
          control_.insert(control_.end(), settled_.begin(), settled_.end());
          settled_.clear();
        }
        if (!control_.empty()) {
          response = control_.front();
          control_.erase(control_.begin());
          break;
        }
        if (credit_ > 0 && NextFrame(response)) {
          credit_ -= static_cast<int64_t>(response.ByteSizeLong());
          break;
        }
        broker_.changed_.Wait(broker_.mutex_);
      }
    }
    stream_.Write(response);
  }
}

grpc::Status SubscribeCall::Handle(const v1::SubscribeRequest& request) {
  MutexLock lock(broker_.mutex_);
  FakeBroker::Seen& seen = broker_.seen_;
  if (request.has_open()) {
    credit_ = static_cast<int64_t>(request.open().credit_bytes());
    control_.emplace_back().mutable_opened();
  } else if (request.has_attach()) {
    if (bindings_.contains(request.attach().binding())) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "the binding exists"};
    }
    if (broker_.reject_attaches_ > 0) {
      --broker_.reject_attaches_;
      return {grpc::StatusCode::INVALID_ARGUMENT, "rejected"};
    }
    seen.attaches.push_back(request.attach());
    Attach(request.attach());
  } else if (request.has_detach()) {
    const uint32_t binding = DetachedBinding(request);
    bindings_.erase(binding);
    v1::Detached& detached = *control_.emplace_back().add_detached();
    detached.set_binding(binding);
    detached.mutable_status()->set_code(v2::OK);
  } else if (request.has_settle()) {
    if (!bindings_.contains(request.settle().binding())) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "no such binding"};
    }
    Settle(request.settle());
  } else if (request.has_commit()) {
    seen.commits[bindings_.at(request.commit().binding()).queue] = request.commit().queue_offset();
  } else {
    credit_ += static_cast<int64_t>(request.credit_bytes());
    seen.credit_returned += request.credit_bytes();
  }
  seen.most_credit =
      std::max(seen.most_credit, static_cast<uint64_t>(std::max<int64_t>(credit_, 0)));
  broker_.changed_.SignalAll();
  return grpc::Status::OK;
}

void SubscribeCall::Attach(const v1::Attach& attach) {
  v1::Attached& attached = *control_.emplace_back().add_attached();
  attached.set_binding(attach.binding());
  if (broker_.denied_attaches_ != v2::OK) {
    attached.mutable_status()->set_code(broker_.denied_attaches_);
    return;
  }
  const auto topic = broker_.topics_.find(attach.topic().name());
  if (topic == broker_.topics_.end()) {
    attached.mutable_status()->set_code(v2::TOPIC_NOT_FOUND);
    return;
  }
  attached.set_queues(static_cast<uint32_t>(topic->second.queues.size()));
  attached.set_topic_id(topic->second.id);
  Binding binding;
  binding.topic = topic->first;
  binding.group = attach.has_group();
  binding.max_unsettled = attach.group().max_unsettled();
  binding.queue = attach.offset().queue();
  binding.for_commits = attach.offset().start() == v1::OffsetMode::COMMIT_ONLY;
  const FakeBroker::Queue& queue = topic->second.queues[binding.queue];
  const uint64_t end = queue.messages.size();
  const v1::OffsetMode& mode = attach.offset();
  if (mode.has_queue_offset()) {
    binding.next = mode.queue_offset();
  } else {
    binding.next = mode.start() == v1::OffsetMode::LAST ? end : queue.min_offset;
  }
  attached.set_start_offset(binding.next);
  attached.set_min_offset(queue.min_offset);
  attached.set_max_offset(end);
  const bool held = binding.next >= queue.min_offset && binding.next <= end;
  attached.mutable_status()->set_code(binding.group || held ? v2::OK : v2::ILLEGAL_OFFSET);
  if (binding.group || held) bindings_[attach.binding()] = binding;
}

void SubscribeCall::Settle(const v1::Settle& settle) {
  Binding& binding = bindings_.at(settle.binding());
  for (const v1::Verdict& verdict : settle.verdicts()) {
    broker_.seen_.verdicts.push_back(verdict);
    FakeBroker::Queue& queue = broker_.topics_.at(binding.topic).queues[verdict.queue()];
    const auto lease = queue.leases.find(verdict.queue_offset());
    const bool valid = lease != queue.leases.end() && lease->second == verdict.lease();
    const bool extend = verdict.outcome() == v1::Verdict::EXTEND;
    if (extend || !valid) {
      v1::Settled& settled = *settled_.emplace_back().add_settled();
      settled.set_binding(settle.binding());
      settled.set_queue(verdict.queue());
      settled.set_queue_offset(verdict.queue_offset());
      settled.mutable_status()->set_code(valid ? v2::OK : v2::INVALID_RECEIPT_HANDLE);
      if (valid) settled.set_lease(lease->second = queue.next_lease++);
    }
    if (!valid) ++broker_.seen_.late_verdicts;
    if (!valid || extend) continue;
    queue.leases.erase(lease);
    --binding.unsettled;
    if (verdict.outcome() != v1::Verdict::ACK) queue.again.insert(verdict.queue_offset());
    if (verdict.outcome() == v1::Verdict::RELEASE) --queue.attempts[verdict.queue_offset()];
  }
}

void SubscribeCall::DetachAll() {
  detach_round_ = broker_.detach_round_;
  for (const auto& [number, binding] : bindings_) {
    v1::Detached& detached = *control_.emplace_back().add_detached();
    detached.set_binding(number);
    detached.mutable_status()->set_code(broker_.detach_code_);
  }
  bindings_.clear();
}

bool SubscribeCall::NextFrame(v1::SubscribeResponse& response) {
  for (auto& [number, binding] : bindings_) {
    v1::MessageFrame frame;
    const auto topic = broker_.topics_.find(binding.topic);
    if (topic == broker_.topics_.end() || binding.queue >= topic->second.queues.size()) continue;
    if (!(binding.group ? GroupFrame(binding, frame) : OffsetFrame(binding, frame))) continue;
    frame.set_binding(number);
    *response.mutable_frame() = std::move(frame);
    return true;
  }
  return false;
}

bool SubscribeCall::OffsetFrame(Binding& binding, v1::MessageFrame& frame) {
  const FakeBroker::Topic& topic = broker_.topics_.at(binding.topic);
  const FakeBroker::Queue& queue = topic.queues[binding.queue];
  if (binding.for_commits || binding.next >= queue.messages.size()) return false;
  binding.next = std::max(binding.next, queue.passed_over);
  while (binding.next < queue.messages.size() && frame.records().size() < kFrameBytes) {
    *frame.mutable_records() += broker_.Record(topic, binding.queue, binding.next++);
    ++broker_.seen_.messages;
  }
  frame.set_next_offset(binding.next);
  frame.set_max_offset(queue.messages.size());
  frame.set_cold(broker_.cold_);
  broker_.changed_.SignalAll();
  return true;
}

bool SubscribeCall::GroupFrame(Binding& binding, v1::MessageFrame& frame) {
  FakeBroker::Topic& topic = broker_.topics_.at(binding.topic);
  for (uint32_t number = 0; number < topic.queues.size(); ++number) {
    FakeBroker::Queue& queue = topic.queues[number];
    while (frame.records().size() < kFrameBytes && binding.unsettled < binding.max_unsettled) {
      uint64_t offset = queue.next_offset;
      if (!queue.again.empty()) {
        offset = *queue.again.begin();
        queue.again.erase(queue.again.begin());
      } else if (offset < queue.messages.size()) {
        ++queue.next_offset;
      } else {
        break;
      }
      ++binding.unsettled;
      *frame.mutable_records() += broker_.Record(topic, number, offset);
      frame.add_leases(queue.leases[offset] = queue.next_lease++);
      frame.add_attempts(++queue.attempts[offset]);
    }
    if (frame.leases_size() > 0) return true;
  }
  return false;
}

}  // namespace dunlin::testing
