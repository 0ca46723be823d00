// StreamFixture: a master and a slave of one group in one process, with a real connection between
// them and logs in memory; the test is the driver of both.

#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/mutex.h"
#include "services/replicator/transport/log_receiver.h"
#include "services/replicator/transport/log_sender.h"
#include "services/replicator/transport/testing/memory_log.h"

namespace dunlin::replicator {

// Answers Follow with whatever the test says.
class FollowService final
    : public v1::ReplicationService::WithRawCallbackMethod_Follow<v1::ReplicationService::Service> {
 public:
  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;
  explicit FollowService(std::function<Reactor*(grpc::CallbackServerContext&)> answer)
      : answer_(std::move(answer)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FollowService() override { Stop(); }
  Reactor* Follow(grpc::CallbackServerContext* context) override { return answer_(*context); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void Stop() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

 private:
  const std::function<Reactor*(grpc::CallbackServerContext&)> answer_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

inline Identity TestIdentity(const std::string& member) {
  Identity identity{.group = "g", .member = member, .others = {"a", "b", "c"}, .secret = {}};
  identity.others.erase(member);
  return identity;
}

inline Instant BootNow() { return BootClock::now(); }

class StreamFixture : public ::testing::Test,
                      public LogSender::Listener,
                      public LogReceiver::Listener {
 protected:
  // What happened on the streams, in order.
  struct Greeted {
    uint64_t stream;
    Hello hello;
  };
  struct Acknowledged {
    uint64_t stream;
    Ack ack;
  };
  struct SlaveGone {
    uint64_t stream;
  };
  struct Started {
    uint64_t stream;
    StreamStart start;
  };
  struct Framed {
    uint64_t stream;
    LogReceiver::Frame frame;
  };
  struct Broken {
    uint64_t stream;
    absl::Status why;
  };
  using Event = std::variant<Greeted, Acknowledged, SlaveGone, Started, Framed, Broken>;

  StreamFixture() {
    lane_options_.heartbeat = std::chrono::milliseconds(20);
    receiver_options_.first_retry = std::chrono::milliseconds(1);
    receiver_options_.last_retry = std::chrono::milliseconds(5);
    // A machine that stands still for seconds is no silent master; tests of silence say so.
    receiver_options_.silence = std::chrono::minutes(5);
    lane_options_.silence = std::chrono::minutes(5);
  }
  ~StreamFixture() override {
    // Before what they tell to.
    receiver_.reset();
    if (sender_ != nullptr) sender_->Stop();
    service_.reset();  // calls may still come in until here
    sender_.reset();
  }

  void OnHello(uint64_t stream, const Hello& hello) override { Push(Greeted{stream, hello}); }
  void OnAck(uint64_t stream, const Ack& ack) override { Push(Acknowledged{stream, ack}); }
  void OnSlaveGone(uint64_t stream) override { Push(SlaveGone{stream}); }
  void OnStreamStart(uint64_t stream, const StreamStart& start) override {
    Push(Started{stream, start});
  }
  void OnFrame(uint64_t stream, LogReceiver::Frame frame) override {
    Push(Framed{stream, std::move(frame)});
  }
  void OnStreamBroken(uint64_t stream, const absl::Status& why) override {
    Push(Broken{stream, why});
  }

  void MakeSender(Identity identity) {
    sender_ = std::make_unique<LogSender>(std::move(identity), lane_options_, master_.Opener(),
                                          clock_, *this);
    service_ = std::make_unique<FollowService>(
        [this](grpc::CallbackServerContext& context) { return sender_->Follow(context); });
  }
  void MakeReceiver(Identity identity) {
    const MemberName name = identity.member;
    receiver_ = std::make_unique<LogReceiver>(
        std::move(identity), receiver_options_, BootNow,
        [this, name] {
          return Hello{.member = name,
                       .history = slave_.history(),
                       .end = slave_.end(),
                       .highest_epoch = slave_.history().last()};
        },
        *this);
  }
  void Follow() { receiver_->Follow("a", service_->address()); }

  void Advance() { sender_->Advance({master_.start(), master_.end(), confirm_}); }

  // Carries out the next event that comes; false when none did for a long time.
  bool Step() {
    receiver_->Tick(BootNow());
    std::optional<Event> event = Next();
    if (!event.has_value()) return false;
    std::visit([this](auto& happened) { Handle(happened); }, *event);
    return true;
  }
  void StepUntil(const std::function<bool()>& reached) {
    while (!reached()) ASSERT_TRUE(Step());
  }
  bool Equal() const {
    return slave_.contents() == master_.contents() && slave_.end() == master_.end();
  }

  void Handle(const Greeted& event) {
    if (refusal_.has_value()) return sender_->Refuse(event.stream, *refusal_);
    StreamStart start{.epoch = master_.history().last(),
                      .common = EpochHistory::LastCommon(master_.history(), master_.end(),
                                                         event.hello.history, event.hello.end),
                      .start = master_.start(),
                      .unclean_epoch = {}};
    if (start.common.has_value() && start.common->offset < master_.start()) start.common.reset();
    sender_->Start(event.stream, start, master_.history());
  }
  void Handle(const Acknowledged& event) { acknowledged_ = event.ack; }
  void Handle(const SlaveGone& /*event*/) { ++gone_; }
  void Handle(const Started& event) {
    ++starts_;
    stream_ = event.stream;
    if (event.start.common.has_value()) {
      slave_.TruncateTo(*event.start.common);
    } else {
      ++resets_;
      slave_.Reset(event.start.start);
    }
    AcknowledgeFrames(event.stream, 0, 0);
  }
  void Handle(const Framed& event) {
    if (event.stream != stream_) return;  // it was cut
    frames_ += event.frame.records.empty() ? 0 : 1;
    heartbeats_ += event.frame.records.empty() ? 1 : 0;
    told_ = event.frame.header.confirm;
    const absl::Status taken = slave_.Take(event.frame.header, event.frame.records);
    if (!taken.ok()) return Cut(taken);
    if (!stalled_) AcknowledgeFrames(event.stream, 1, event.frame.records.size());
  }
  void Handle(const Broken& event) {
    if (event.stream == stream_) stream_ = 0;
    ++breaks_;
    broken_ = event.why;
  }
  void Cut(const absl::Status& why) { receiver_->Drop(std::exchange(stream_, 0), why); }
  void AcknowledgeFrames(uint64_t stream, int frames, uint64_t bytes) {
    receiver_->Acknowledge(stream, {slave_.history().last(), slave_.end(), slave_.end()}, frames,
                           bytes);
  }

  SystemClock clock_;
  LaneOptions lane_options_;
  LogReceiver::Options receiver_options_;
  MemoryLog master_;
  MemoryLog slave_;
  LogOffset confirm_;
  std::optional<absl::Status> refusal_;
  bool stalled_ = false;  // the slave takes, and gives no more credit
  std::unique_ptr<LogSender> sender_;
  std::unique_ptr<FollowService> service_;
  std::unique_ptr<LogReceiver> receiver_;

  uint64_t stream_ = 0;  // that the slave takes frames of

  // What was seen.
  int starts_ = 0;
  int resets_ = 0;
  int frames_ = 0;
  int heartbeats_ = 0;
  int breaks_ = 0;
  int gone_ = 0;
  Ack acknowledged_;
  LogOffset told_;
  absl::Status broken_;

 private:
  void Push(Event event) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    events_.push_back(std::move(event));
    changed_.Signal();
  }
  std::optional<Event> Next() ABSL_LOCKS_EXCLUDED(mutex_) {
    using std::chrono::steady_clock;
    const auto patience = steady_clock::now() + std::chrono::seconds(30);
    MutexLock lock(mutex_);
    while (events_.empty()) {
      if (steady_clock::now() >= patience) return std::nullopt;
      changed_.WaitUntil(mutex_, steady_clock::now() + std::chrono::milliseconds(5));
      receiver_->Tick(BootNow());
    }
    std::optional<Event> event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  Mutex mutex_;
  CondVar changed_;
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::replicator
