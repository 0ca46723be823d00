#include "e2e/harness/load.h"

#include <fmt/format.h>

#include <optional>

#include "grpcpp/grpcpp.h"

#include "e2e/harness/v2_client.h"
#include "proto/apache/rocketmq/v2/service.grpc.pb.h"

namespace dunlin::e2e {

namespace v2 = apache::rocketmq::v2;

// One call at a time: the callback of a call makes the next one.
class Load::Producer {
 public:
  Producer(Load& load, History& history, uint32_t id, const std::string& topic,
           const std::shared_ptr<grpc::Channel>& channel)
      : load_(load), history_(history), id_(id), stub_(v2::MessagingService::NewStub(channel)) {
    *request_.add_messages() = NewMessage(topic, id);
  }

  void SendNext() {
    v2::Message& message = *request_.mutable_messages(0);
    sequence_ = history_.Send(id_, *message.mutable_body());
    message.mutable_system_properties()->set_message_id(
        fmt::format("01{:016X}{:016X}", id_, sequence_.number));
    context_.emplace();
    PrepareContext(*context_);
    stub_->async()->SendMessage(&*context_, &request_, &response_,
                                [this](const grpc::Status& status) { OnDone(status); });
  }

 private:
  void OnDone(const grpc::Status& call) {
    absl::Status status = CheckAnswer(call, response_.status());
    if (status.ok() && response_.entries_size() != 1) {
      status =
          absl::InternalError(fmt::format("{} results for one message", response_.entries_size()));
    }
    if (!status.ok()) return load_.Ended(status);
    history_.Acknowledge(sequence_, static_cast<uint64_t>(response_.entries(0).offset()));
    load_.Count();
    if (load_.stopping_.load(std::memory_order_relaxed)) return load_.Ended(absl::OkStatus());
    SendNext();
  }

  Load& load_;
  History& history_;
  const uint32_t id_;
  const std::unique_ptr<v2::MessagingService::Stub> stub_;
  std::optional<grpc::ClientContext> context_;
  v2::SendMessageRequest request_;
  v2::SendMessageResponse response_;
  Sequence sequence_;
};

Load::Load(History& history, const std::string& address, const std::string& topic,
           uint32_t channels) {
  std::vector<std::shared_ptr<grpc::Channel>> open;
  for (uint32_t i = 0; i < channels; ++i) open.push_back(OpenChannel(address));
  for (uint32_t id = 0; id < history.producers(); ++id) {
    producers_.push_back(
        std::make_unique<Producer>(*this, history, id, topic, open[id % channels]));
  }
  {
    MutexLock lock(mutex_);
    running_ = producers_.size();
  }
  for (const std::unique_ptr<Producer>& producer : producers_) producer->SendNext();
}

Load::~Load() { (void)Stop(); }

absl::Status Load::Stop() {
  stopping_ = true;
  MutexLock lock(mutex_);
  while (running_ > 0) ended_.Wait(mutex_);
  return first_error_;
}

void Load::Ended(const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!status.ok() && first_error_.ok() && !death_expected_) first_error_ = status;
  if (--running_ == 0) ended_.SignalAll();
}

}  // namespace dunlin::e2e
