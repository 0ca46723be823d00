// Members of a group in one process, each with a store of its own and real streams between them;
// the test plays their brokers.

#include "services/replicator/driver/member_driver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/replicator/coordinator/static_coordinator.h"
#include "services/replicator/transport/testing/stream_fixture.h"
#include "services/store/log/commit_log.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class Refused final : public FollowService::Reactor {
 public:
  Refused() { Finish({grpc::StatusCode::UNAVAILABLE, "it has not started yet"}); }
  void OnDone() override { delete this; }
};

// What a broker does beside its replicator, as far as the log goes.
class Node {
 public:
  explicit Node(std::string name)
      : name_(std::move(name)), service_([this](grpc::CallbackServerContext& context) {
          MemberDriver* const driver = driver_.load();
          return driver != nullptr ? driver->sender().Follow(context) : new Refused;
        }) {}
  ~Node() {
    Stop();
    service_.Stop();
  }

  const std::string& Name() const { return name_; }
  std::string Address() const { return service_.address(); }
  std::string Directory() const { return dir_.path() + "/store"; }

  void Start(const std::map<MemberName, std::string>& addresses, Mode mode) {
    MemberDriver::Options options;
    options.identity.group = "g";
    options.identity.member = name_;
    for (const auto& [name, address] : addresses) {
      options.member.members.insert(name);
      if (name != name_) options.identity.others.insert(name);
    }
    options.identity.secret = Secret("a secret of this test");
    options.member.name = name_;
    options.member.mode = mode;
    options.addresses = addresses;
    options.directory = Directory();
    options.lane.heartbeat = milliseconds(50);
    options.broker_silence = broker_silence_;
    coordinator_ = std::make_unique<StaticCoordinator>(name_, "a");
    auto page = store::ControlPage::Open(RealFiles(), Directory() + "/control");
    if (!page.ok()) {
      ASSERT_OK(RealFiles().CreateDirectories(Directory()));
      page = store::ControlPage::Open(RealFiles(), Directory() + "/control");
    }
    ASSERT_OK(page);
    page_ = *std::move(page);
    stopping_ = false;
    broker_ = std::thread([this] { PlayBroker(); });
    auto started = MemberDriver::Start(options, RealFiles(), clock_, *coordinator_,
                                       [this] { failed_ = true; });
    ASSERT_OK(started);
    running_ = *std::move(started);
    driver_ = running_.get();
  }

  void Stop() {
    driver_ = nullptr;
    if (running_ != nullptr) EXPECT_OK(running_->Stop());
    running_.reset();
    coordinator_.reset();
    stopping_ = true;
    if (broker_.joinable()) broker_.join();
  }

  // The log while this member is master.
  store::CommitLog* Log() { return log_.load(); }
  store::ControlPage& Page() { return *page_; }
  MemberDriver& Driver() { return *running_; }
  bool Failed() const { return failed_; }
  // Its broker goes on, and nobody hears of it.
  void StopBeating() { beating_ = false; }
  int Beats() const { return beats_; }
  void SetBrokerSilence(Duration silence) { broker_silence_ = silence; }

 private:
  void PlayBroker() {
    store::Wanted have;
    std::unique_ptr<store::CommitLog> log;
    while (!stopping_) {
      const uint32_t looked = page_->for_broker().Look();
      const store::Wanted wanted = page_->wanted();
      if (wanted != have) {
        log_ = nullptr;
        log.reset();
        have = wanted;
        store::BrokerState state = store::BrokerState::kStopped;
        if (wanted.role == store::Role::kSlave) state = store::BrokerState::kSlave;
        if (wanted.role == store::Role::kMaster) {
          store::CommitLogOptions options;
          options.directory = Directory();
          options.segment_size_bytes = 1 << 20;
          options.epoch = wanted.epoch;
          options.replicated = true;
          auto opened = store::CommitLog::Open(options, RealFiles(), clock_);
          EXPECT_OK(opened);
          state = opened.ok() ? store::BrokerState::kMaster : store::BrokerState::kFailed;
          if (opened.ok()) log = *std::move(opened);
        }
        page_->Report({state, wanted.serial});
        log_ = log.get();
      }
      if (beating_) page_->Beat();
      ++beats_;
      page_->for_broker().Wait(looked, milliseconds(20));
    }
    log_ = nullptr;
  }

  const std::string name_;
  TempDir dir_;
  SystemClock clock_;
  std::atomic<MemberDriver*> driver_ = nullptr;
  FollowService service_;
  std::unique_ptr<StaticCoordinator> coordinator_;
  std::unique_ptr<store::ControlPage> page_;
  std::unique_ptr<MemberDriver> running_;
  std::atomic<store::CommitLog*> log_ = nullptr;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> failed_ = false;
  std::atomic<bool> beating_ = true;
  std::atomic<int> beats_ = 0;
  Duration broker_silence_ = std::chrono::minutes(5);  // longer than this machine stands still
  std::thread broker_;
};

class MemberDriverTest : public ::testing::Test {
 protected:
  void StartAll(Mode mode) {
    mode_ = mode;
    for (Node* node : {&a_, &b_}) addresses_[node->Name()] = node->Address();
    a_.Start(addresses_, mode);
    b_.Start(addresses_, mode);
  }

  // Looks again and again; the driver moves on its own threads.
  static void Await(const std::function<bool()>& reached) {
    const auto patience = steady_clock::now() + std::chrono::seconds(30);
    Mutex mutex;
    CondVar never;
    MutexLock lock(mutex);
    while (!reached()) {
      ASSERT_LT(steady_clock::now(), patience);
      never.WaitUntil(mutex, steady_clock::now() + milliseconds(2));
    }
  }

  void AwaitMaster() {
    Await([&] { return a_.Log() != nullptr; });
  }

  static void Fill(store::CommitLog& log, int records) {
    const std::string payload(200, 'x');
    const std::string_view piece = payload;
    for (int i = 0; i < records; ++i) {
      store::NewRecord record;
      record.payload = {&piece, 1};
      store::Appended appended;
      ASSERT_OK(log.Append({&record, 1}, {&appended, 1}, nullptr));
    }
  }

  static v1::GetMemberResponse Describe(Node& node) {
    auto told = std::make_shared<std::promise<v1::GetMemberResponse>>();
    node.Driver().Describe(
        [told](const v1::GetMemberResponse& member) { told->set_value(member); });
    return told->get_future().get();
  }
  static std::string ProblemOf(Node& node) { return Describe(node).problem(); }

  SystemClock clock_;
  Mode mode_ = Mode::kSync;
  std::map<MemberName, std::string> addresses_;
  Node a_{"a"};
  Node b_{"b"};
};

TEST_F(MemberDriverTest, WhatTheMasterWritesIsConfirmedByItsSlave) {
  StartAll(Mode::kSync);
  AwaitMaster();
  Await([&] { return a_.Page().sends() == store::Sends::kAccepted; });
  Fill(*a_.Log(), 1000);
  const LogOffset end = a_.Log()->end();
  Await([&] { return a_.Log()->confirmed().Get() >= end; });
  EXPECT_GE(b_.Page().appended(), end) << "it is confirmed, so the slave has it";
  // The slave hears of it with the next frame.
  Await([&] { return b_.Page().replicated() >= end; });
  EXPECT_EQ(b_.Page().wanted().role, store::Role::kSlave);
  EXPECT_FALSE(a_.Failed() || b_.Failed());
}

TEST_F(MemberDriverTest, NobodyIsBusyWithNothing) {
  StartAll(Mode::kSync);
  AwaitMaster();
  Await([&] { return a_.Page().sends() == store::Sends::kAccepted; });
  // For each beat and each frame there may be a few rounds; a thread that never sleeps makes
  // thousands between two beats.
  for (Node* node : {&a_, &b_}) {
    const uint64_t rounds = node->Driver().rounds();
    const int beats = node->Beats();
    Await([&] { return node->Beats() >= beats + 20; });
    const auto beaten = static_cast<uint64_t>(node->Beats() - beats);
    EXPECT_LT(node->Driver().rounds() - rounds, 100 * beaten) << node->Name();
  }
}

TEST_F(MemberDriverTest, WhoeverAsksIsAnsweredOrDropped) {
  StartAll(Mode::kSync);
  AwaitMaster();
  struct Counted {
    explicit Counted(std::atomic<int>& ended) : ended_(&ended) {}
    Counted(Counted&& other) noexcept : ended_(std::exchange(other.ended_, nullptr)) {}
    ~Counted() {
      if (ended_ != nullptr) ++*ended_;
    }
    std::atomic<int>* ended_;
  };
  std::atomic<int> answered = 0;
  std::atomic<int> ended = 0;
  constexpr int kEach = 2000;
  std::vector<std::thread> askers;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&] {
      for (int k = 0; k < kEach; ++k) {
        a_.Driver().Describe([&answered, counted = Counted(ended)](
                                 const v1::GetMemberResponse&) mutable { ++answered; });
      }
    });
  }
  for (std::thread& asker : askers) asker.join();
  Await([&] { return ended == 4 * kEach; });
  EXPECT_EQ(answered, 4 * kEach);
  ASSERT_OK(a_.Driver().Stop());
  a_.Driver().Describe([counted = Counted(ended)](const v1::GetMemberResponse&) mutable {});
  EXPECT_EQ(ended, 4 * kEach + 1);
}

TEST_F(MemberDriverTest, ASlaveThatWasAwayCatchesUp) {
  StartAll(Mode::kAsync);
  AwaitMaster();
  Fill(*a_.Log(), 100);
  Await([&] { return b_.Page().appended() >= a_.Log()->end(); });
  b_.Stop();
  Fill(*a_.Log(), 20'000);
  const LogOffset end = a_.Log()->end();
  Await([&] { return a_.Log()->confirmed().Get() >= end; });
  b_.Start(addresses_, mode_);
  Await([&] { return b_.Page().appended() >= end; });
}

TEST_F(MemberDriverTest, ASlaveFetchesAnewWhatItsDiskHasDamaged) {
  StartAll(Mode::kSync);
  AwaitMaster();
  Await([&] { return a_.Page().sends() == store::Sends::kAccepted; });
  Fill(*a_.Log(), 100);
  const LogOffset end = a_.Log()->end();
  Await([&] { return a_.Log()->confirmed().Get() >= end; });
  b_.Stop();
  const std::string directory = b_.Directory() + "/log";
  const auto segments = RealFiles().List(directory);
  ASSERT_OK(segments);
  const std::string segment = "/" + segments->front();
  {
    auto file = RealFiles().Open(directory + segment, OpenMode::kReadWrite);
    ASSERT_OK(file);
    const std::string_view rubbish = "rubbish!";
    ASSERT_OK((*file)->WriteAt(end.value() / 2, {&rubbish, 1}));
  }
  b_.Start(addresses_, mode_);
  Await([&] { return b_.Page().replicated() >= end; });
  const auto read = [&](Node& node) {
    auto file = RealFiles().Open(node.Directory() + "/log" + segment, OpenMode::kRead);
    EXPECT_OK(file);
    return (*file)->ReadAt(0, end.value());
  };
  const auto has = read(b_);
  const auto should_have = read(a_);
  ASSERT_OK(has);
  ASSERT_OK(should_have);
  EXPECT_TRUE(*has == *should_have);
  EXPECT_FALSE(a_.Failed() || b_.Failed());
}

// The broker of a store that was never the group's has its log still.
TEST_F(MemberDriverTest, ALoneBrokersLogIsNotGivenUpForTheGroups) {
  {
    store::CommitLogOptions options;
    options.directory = b_.Directory();
    auto log = store::CommitLog::Open(options, RealFiles(), clock_);
    ASSERT_OK(log);
    Fill(**log, 100);
    ASSERT_OK((*log)->Close());
  }
  const auto before = ReadWholeFile(RealFiles(), b_.Directory() + "/epochs");
  ASSERT_OK(before);
  StartAll(Mode::kAsync);
  AwaitMaster();
  Fill(*a_.Log(), 10);
  const LogOffset end = b_.Page().appended();
  Await([&] { return ProblemOf(b_).find("not the group's") != std::string::npos; });
  EXPECT_EQ(b_.Page().appended(), end);
  const auto after = ReadWholeFile(RealFiles(), b_.Directory() + "/epochs");
  ASSERT_OK(after);
  EXPECT_EQ(*before, *after);
}

// The configuration says who is master, for good.
TEST_F(MemberDriverTest, TheOnlyMasterThereCanBeIsNotDeposed) {
  a_.SetBrokerSilence(milliseconds(100));
  StartAll(Mode::kSync);
  AwaitMaster();
  Await([&] { return a_.Page().sends() == store::Sends::kAccepted; });
  const store::Wanted wanted = a_.Page().wanted();
  auto told = std::make_shared<std::promise<absl::Status>>();
  a_.Driver().SwitchOver("b", [told](const absl::Status& status) { told->set_value(status); });
  EXPECT_THAT(told->get_future().get(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 ::testing::HasSubstr("replication.master")));
  // Nor because of its broker, which may just be busy.
  a_.StopBeating();
  Await([&] { return ProblemOf(a_).find("does not answer") != std::string::npos; });
  const auto later = steady_clock::now() + milliseconds(1500);
  Await([&] { return steady_clock::now() >= later; });
  EXPECT_EQ(a_.Page().sends(), store::Sends::kAccepted);
  EXPECT_EQ(a_.Page().wanted(), wanted) << "epoch " << a_.Page().wanted().epoch.value();
}

TEST_F(MemberDriverTest, AMasterThatComesBackBeginsANewEpoch) {
  StartAll(Mode::kSync);
  AwaitMaster();
  Await([&] { return a_.Page().sends() == store::Sends::kAccepted; });
  Fill(*a_.Log(), 100);
  const LogOffset end = a_.Log()->end();
  const Epoch epoch = a_.Log()->epoch();
  Await([&] { return a_.Log()->confirmed().Get() >= end; });
  a_.Stop();
  a_.Start(addresses_, mode_);
  AwaitMaster();
  EXPECT_GT(a_.Log()->epoch(), epoch);
  EXPECT_GE(a_.Log()->end(), end);
  Await([&] { return a_.Page().sends() == store::Sends::kAccepted; });
  Fill(*a_.Log(), 100);
  const LogOffset later = a_.Log()->end();
  Await([&] { return a_.Log()->confirmed().Get() >= later; });
  EXPECT_GE(b_.Page().appended(), later);
}

}  // namespace
}  // namespace dunlin::replicator
