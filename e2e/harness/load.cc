#include "e2e/harness/load.h"

#include <fmt/format.h>
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "e2e/harness/client.h"
#include "services/base/mutex.h"

namespace dunlin::e2e {

namespace {
using std::chrono::steady_clock;
}  // namespace

struct Load::Shared {
  std::atomic<bool> stopping{false};
  Mutex mutex;
  CondVar changed;
  size_t active ABSL_GUARDED_BY(mutex) = 0;

  void Leave() {
    MutexLock lock(mutex);
    if (--active == 0) changed.SignalAll();
  }
};

class Load::Producer {
 public:
  Producer(uint32_t number, std::shared_ptr<grpc::Channel> channel, const LoadOptions& options,
           History& history, Shared& shared)
      : number_(number),
        options_(options),
        stub_(v2::MessagingService::NewStub(channel)),
        history_(history),
        shared_(shared) {
    v2::Message& message = *request_.add_messages();
    message.mutable_topic()->set_name(options.topic);
    v2::SystemProperties& properties = *message.mutable_system_properties();
    properties.set_message_type(v2::NORMAL);
    properties.set_body_encoding(v2::IDENTITY);
    properties.set_born_host("load");
  }

  void SendNext() {
    identity_ = history_.Send(number_);
    v2::Message& message = *request_.mutable_messages(0);
    FillPayload(identity_, options_.body_bytes, *message.mutable_body());
    v2::SystemProperties& properties = *message.mutable_system_properties();
    properties.set_message_id(MessageIdOf(identity_));
    const auto now = std::chrono::system_clock::now();
    properties.mutable_born_timestamp()->set_seconds(std::chrono::system_clock::to_time_t(now));
    context_.emplace();
    AddHeaders(*context_);
    context_->set_deadline(now + options_.deadline);
    response_.Clear();
    sent_ = steady_clock::now();
    stub_->async()->SendMessage(&*context_, &request_, &response_,
                                [this](grpc::Status status) { OnDone(status); });
  }

  // What this producer did; read when it has left.
  uint64_t refused = 0;
  std::string refusal;
  bool broken = false;
  std::vector<uint32_t> latencies_us;

 private:
  void OnDone(const grpc::Status& status) {
    if (!status.ok()) {
      broken = true;
      return options_.goes_on ? Pause() : shared_.Leave();
    }
    if (response_.status().code() == v2::OK && response_.entries_size() == 1) {
      history_.Acknowledge(identity_, response_.entries(0).offset());
      latencies_us.push_back(static_cast<uint32_t>(
          std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - sent_)
              .count()));
    } else {
      if (refused++ == 0) refusal = response_.status().ShortDebugString();
      if (options_.pause.count() > 0) return Pause();
    }
    GoOn();
  }

  void GoOn() {
    if (shared_.stopping.load(std::memory_order_relaxed)) return shared_.Leave();
    SendNext();
  }

  void Pause() {
    // A new one each time: the last one may still be in its callback.
    pause_.emplace().Set(std::chrono::system_clock::now() + options_.pause,
                         [this](bool /*expired*/) { GoOn(); });
  }

  const uint32_t number_;
  const LoadOptions options_;
  const std::unique_ptr<v2::MessagingService::Stub> stub_;
  History& history_;
  Shared& shared_;
  Identity identity_;
  v2::SendMessageRequest request_;
  v2::SendMessageResponse response_;
  std::optional<grpc::ClientContext> context_;
  steady_clock::time_point sent_;
  std::optional<grpc::Alarm> pause_;
};

uint32_t LoadResult::Percentile(double share) const {
  if (latencies_us.empty()) return 0;
  const auto at = static_cast<size_t>(share * static_cast<double>(latencies_us.size()));
  return latencies_us[std::min(at, latencies_us.size() - 1)];
}

Load::Load(const LoadOptions& options, History& history) : shared_(std::make_unique<Shared>()) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < options.channels; ++i) channels.push_back(MakeChannel(options.address, i));
  const uint32_t end =
      options.producers == 0 ? history.producers() : options.first_producer + options.producers;
  for (uint32_t i = options.first_producer; i < end; ++i) {
    producers_.push_back(
        std::make_unique<Producer>(i, channels[i % channels.size()], options, history, *shared_));
  }
}

Load::~Load() { Stop(); }

void Load::Start() {
  started_ = steady_clock::now();
  {
    MutexLock lock(shared_->mutex);
    shared_->active = producers_.size();
  }
  for (const auto& producer : producers_) producer->SendNext();
}

void Load::Wait(std::chrono::milliseconds duration) {
  const auto deadline = steady_clock::now() + duration;
  MutexLock lock(shared_->mutex);
  while (shared_->active > 0 && shared_->changed.WaitUntil(shared_->mutex, deadline)) {
  }
}

LoadResult Load::Stop() {
  shared_->stopping.store(true, std::memory_order_relaxed);
  {
    MutexLock lock(shared_->mutex);
    while (shared_->active > 0) shared_->changed.Wait(shared_->mutex);
  }
  LoadResult result;
  result.elapsed = steady_clock::now() - started_;
  for (const auto& producer : producers_) {
    result.refused += producer->refused;
    result.broken += producer->broken ? 1 : 0;
    if (result.refusal.empty()) result.refusal = producer->refusal;
    result.latencies_us.insert(result.latencies_us.end(), producer->latencies_us.begin(),
                               producer->latencies_us.end());
  }
  result.acknowledged = result.latencies_us.size();
  std::sort(result.latencies_us.begin(), result.latencies_us.end());
  return result;
}

}  // namespace dunlin::e2e
