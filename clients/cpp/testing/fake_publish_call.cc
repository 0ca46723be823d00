#include "clients/cpp/testing/fake_calls.h"

namespace dunlin::testing {
namespace {

constexpr size_t kMostBindings = 65536;

}  // namespace

grpc::Status PublishCall::Run() {
  std::thread writer([this] { Answer(); });
  grpc::Status status;
  for (v1::PublishRequest request; status.ok() && stream_.Read(&request);) {
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

void PublishCall::Answer() {
  for (;;) {
    std::vector<v1::PublishResponse> out;
    {
      MutexLock lock(broker_.mutex_);
      for (;;) {
        out.swap(control_);
        if (!broker_.hold_acks_) {
          out.insert(out.end(), answers_.begin(), answers_.end());
          answers_.clear();
          unanswered_ = 0;
        }
        if (!out.empty()) break;
        if (done_ || broker_.stopping_) return;
        broker_.changed_.Wait(broker_.mutex_);
      }
    }
    for (const v1::PublishResponse& response : out) stream_.Write(response);
  }
}

grpc::Status PublishCall::Handle(const v1::PublishRequest& request) {
  MutexLock lock(broker_.mutex_);
  if (request.has_open()) {
    producer_ = request.open().producer_id();
    control_.emplace_back().mutable_opened()->set_credit_bytes(
        broker_.options_.publish_credit_bytes);
  } else if (request.has_bind()) {
    Bind(request.bind());
  } else {
    if (!bindings_.contains(request.frame().binding())) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "no such binding"};
    }
    if (request.frame().messages().empty()) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "an empty frame"};
    }
    unanswered_ += request.ByteSizeLong();
    broker_.seen_.most_unanswered = std::max(broker_.seen_.most_unanswered, unanswered_);
    ++broker_.seen_.frames;
    Take(request.frame());
  }
  broker_.changed_.SignalAll();
  return grpc::Status::OK;
}

void PublishCall::Bind(const v1::BindQueue& bind) {
  v1::Bound& bound = *control_.emplace_back().add_bound();
  bound.set_binding(bind.binding());
  ++broker_.seen_.bindings;
  if (broker_.refuse_bindings_ > 0) {
    --broker_.refuse_bindings_;
    bound.mutable_status()->set_code(broker_.binding_code_);
    return;
  }
  const auto topic = broker_.topics_.find(bind.topic().name());
  if (topic == broker_.topics_.end()) {
    bound.mutable_status()->set_code(v2::TOPIC_NOT_FOUND);
    return;
  }
  if (bind.queue() >= topic->second.queues.size()) {
    bound.mutable_status()->set_code(v2::BAD_REQUEST);
    return;
  }
  if (bindings_.size() == kMostBindings) {
    bound.mutable_status()->set_code(v2::TOO_MANY_REQUESTS);
    return;
  }
  FakeBroker::Queue& queue = topic->second.queues[bind.queue()];
  const uint64_t last = queue.last_sequences[producer_];
  bound.mutable_status()->set_code(v2::OK);
  bound.set_queues(static_cast<uint32_t>(topic->second.queues.size()));
  bound.set_topic_id(topic->second.id);
  bound.set_last_sequence(last);
  bindings_[bind.binding()] = {topic->first, topic->second.id, bind.queue(),
                               std::max(last + 1, bind.next_sequence()), false};
}

void PublishCall::AddAck(const v1::PublishFrame& frame, int index, int64_t offset,
                         v1::PublishResponse& response) {
  const uint64_t sequence = frame.first_sequence() + static_cast<uint64_t>(index);
  if (response.acks_size() > 0) {
    v1::PublishAck& last = *response.mutable_acks()->rbegin();
    const bool goes_on = last.first_sequence() + last.count() == sequence;
    if (goes_on && offset >= 0 && last.first_offset() + last.count() == offset) {
      last.set_count(last.count() + 1);
      return;
    }
  }
  v1::PublishAck& ack = *response.add_acks();
  ack.set_binding(frame.binding());
  ack.set_first_sequence(sequence);
  ack.set_count(1);
  ack.set_first_offset(offset);
}

bool PublishCall::Store(Binding& binding, const v1::PublishFrame& frame, int index,
                        v1::PublishResponse& response) {
  const uint64_t sequence = frame.first_sequence() + static_cast<uint64_t>(index);
  FakeBroker::Queue& queue = broker_.topics_.at(binding.topic).queues[binding.queue];
  if (sequence < binding.expected) {
    ++broker_.seen_.repeated_messages;
    AddAck(frame, index, -1, response);
    return true;
  }
  v2::Message message;
  message.ParseFromString(frame.messages(index));
  v2::Code code = sequence == binding.expected ? v2::OK : v2::PRECONDITION_FAILED;
  uint32_t retry_after_ms = 0;
  if (code == v2::OK && broker_.refuse_) {
    if (const auto refusal = broker_.refuse_(message)) {
      code = refusal->code;
      retry_after_ms = refusal->retry_after_ms;
    }
  }
  const bool again = code == v2::TOO_MANY_REQUESTS || code == v2::PRECONDITION_FAILED;
  if (code != v2::OK) {
    v1::PublishError& error = *response.add_errors();
    error.set_binding(frame.binding());
    error.set_first_sequence(sequence);
    error.set_count(again ? static_cast<uint32_t>(frame.messages_size() - index) : 1);
    error.mutable_status()->set_code(code);
    error.set_retry_after_ms(retry_after_ms);
  }
  if (again) return false;
  binding.expected = sequence + 1;
  queue.last_sequences[producer_] = sequence;
  if (code != v2::OK) return true;
  const bool compressed = message.system_properties().body_encoding() == v2::GZIP;
  AddAck(frame, index, static_cast<int64_t>(queue.messages.size()), response);
  queue.messages.push_back({frame.messages(index), compressed});
  return true;
}

void PublishCall::Take(const v1::PublishFrame& frame) {
  Binding& binding = bindings_[frame.binding()];
  v1::PublishResponse response;
  const auto topic = broker_.topics_.find(binding.topic);
  if (topic == broker_.topics_.end() || topic->second.id != binding.topic_id) {
    v1::PublishError& error = *response.add_errors();
    error.set_binding(frame.binding());
    error.set_first_sequence(frame.first_sequence());
    error.set_count(static_cast<uint32_t>(frame.messages_size()));
    error.mutable_status()->set_code(v2::TOPIC_NOT_FOUND);
    answers_.push_back(response);
    return;
  }
  for (int i = 0; i < frame.messages_size(); ++i) {
    if (!Store(binding, frame, i, response)) break;
  }
  if (!broker_.lose_acks_) answers_.push_back(response);
}

}  // namespace dunlin::testing
