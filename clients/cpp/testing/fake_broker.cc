#include "clients/cpp/testing/fake_broker.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "clients/cpp/testing/fake_calls.h"
#include "services/base/crc32c.h"

namespace dunlin::testing {

class FakeBroker::Service final : public v1::StreamService::Service {
 public:
  explicit Service(FakeBroker& broker) : broker_(broker) {}

  grpc::Status Publish(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::PublishResponse, v1::PublishRequest>* stream) override {
    Enter(context, true);
    const grpc::Status status = PublishCall(broker_, *stream).Run();
    Leave(context);
    return status;
  }

  grpc::Status Subscribe(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::SubscribeResponse, v1::SubscribeRequest>* stream) override {
    Enter(context, false);
    const grpc::Status status = SubscribeCall(broker_, *stream).Run();
    Leave(context);
    return status;
  }

 private:
  void Enter(grpc::ServerContext* context, bool publish) {
    MutexLock lock(broker_.mutex_);
    broker_.calls_.insert(context);
    ++(publish ? broker_.seen_.publish_calls : broker_.seen_.subscribe_calls);
    broker_.changed_.SignalAll();
  }

  void Leave(grpc::ServerContext* context) {
    MutexLock lock(broker_.mutex_);
    broker_.calls_.erase(context);
  }

  FakeBroker& broker_;
};

FakeBroker::FakeBroker(const Options& options)
    : options_(options), service_(std::make_unique<Service>(*this)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port_);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
}

FakeBroker::~FakeBroker() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  BreakStreams();
  server_->Shutdown(std::chrono::system_clock::now());
}

std::string FakeBroker::address() const { return fmt::format("127.0.0.1:{}", port_); }

void FakeBroker::AddTopic(const std::string& topic) {
  MutexLock lock(mutex_);
  Topic& added = topics_[topic];
  added.id = static_cast<uint32_t>(topics_.size());
  added.queues.resize(options_.queues);
}

void FakeBroker::Store(const std::string& topic, uint32_t queue, const v2::Message& message) {
  MutexLock lock(mutex_);
  const bool compressed = message.system_properties().body_encoding() == v2::GZIP;
  topics_.at(topic).queues[queue].messages.push_back({message.SerializeAsString(), compressed});
  changed_.SignalAll();
}

std::vector<v2::Message> FakeBroker::Messages(const std::string& topic, uint32_t queue) {
  MutexLock lock(mutex_);
  std::vector<v2::Message> messages;
  for (const Stored& stored : topics_.at(topic).queues[queue].messages) {
    messages.emplace_back().ParseFromString(stored.payload);
  }
  return messages;
}

size_t FakeBroker::MessageCount(const std::string& topic) {
  MutexLock lock(mutex_);
  size_t count = 0;
  for (const Queue& queue : topics_.at(topic).queues) count += queue.messages.size();
  return count;
}

void FakeBroker::Refuse(std::function<std::optional<Refusal>(const v2::Message&)> rule) {
  MutexLock lock(mutex_);
  refuse_ = std::move(rule);
}

void FakeBroker::HoldAcks(bool hold) {
  MutexLock lock(mutex_);
  hold_acks_ = hold;
  changed_.SignalAll();
}

void FakeBroker::LoseAcks(bool lose) {
  MutexLock lock(mutex_);
  lose_acks_ = lose;
}

void FakeBroker::BreakStreams() {
  MutexLock lock(mutex_);
  for (grpc::ServerContextBase* call : calls_) call->TryCancel();
}

void FakeBroker::Corrupt(int records) {
  MutexLock lock(mutex_);
  corrupt_ = records;
}

void FakeBroker::SetOffsetMinimum(const std::string& topic, uint32_t queue, uint64_t offset) {
  MutexLock lock(mutex_);
  topics_.at(topic).queues[queue].min_offset = offset;
}

void FakeBroker::PassOver(const std::string& topic, uint32_t queue, uint64_t offset) {
  MutexLock lock(mutex_);
  topics_.at(topic).queues[queue].passed_over = offset;
  changed_.SignalAll();
}

void FakeBroker::DetachAll(v2::Code code) {
  MutexLock lock(mutex_);
  detach_code_ = code;
  ++detach_round_;
  changed_.SignalAll();
}

FakeBroker::Seen FakeBroker::seen() {
  MutexLock lock(mutex_);
  return seen_;
}

bool FakeBroker::Await(const std::function<bool(const Seen&)>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  MutexLock lock(mutex_);
  while (!condition(seen_)) {
    if (!changed_.WaitUntil(mutex_, deadline)) return false;
  }
  return true;
}

// docs/formats/commit_log.md
std::string FakeBroker::Record(const Topic& topic, uint32_t queue, uint64_t offset) {
  const Stored& stored = topic.queues[queue].messages[offset];
  constexpr size_t kHeader = 56;
  std::string record(kHeader, '\0');
  const auto put = [&record](size_t at, auto value) {
    record.replace(at, sizeof(value), reinterpret_cast<const char*>(&value), sizeof(value));
  };
  put(0, static_cast<uint32_t>(kHeader + stored.payload.size()));
  put(8, uint8_t{1});
  put(9, static_cast<uint8_t>(stored.compressed ? 1 : 0));
  put(24, topic.id);
  put(28, queue);
  put(32, offset);
  put(40, int64_t{1'700'000'000'000} + static_cast<int64_t>(offset));
  record += stored.payload;
  put(4, Crc32c(std::string_view(record).substr(8)));
  if (corrupt_ > 0) {
    --corrupt_;
    record.back() = static_cast<char>(record.back() ^ 1);
  }
  record.resize((record.size() + 7) / 8 * 8);
  return record;
}

}  // namespace dunlin::testing
