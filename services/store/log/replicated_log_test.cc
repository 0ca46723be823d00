// A log whose appends are confirmed by replicas, as its control page tells.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/control_page.h"

namespace dunlin::store {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Epoch kEpoch(5);

// Who was told what, in order.
class Told {
 public:
  void Add(int number, const absl::Status& status) {
    MutexLock lock(mutex_);
    told_.push_back({number, status.code()});
    changed_.SignalAll();
  }
  std::vector<std::pair<int, absl::StatusCode>> Await(size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(20);
    MutexLock lock(mutex_);
    while (told_.size() < count && changed_.WaitUntil(mutex_, deadline)) {
    }
    return told_;
  }
  std::vector<std::pair<int, absl::StatusCode>> Now() { return Await(0); }
  void Clear() {
    MutexLock lock(mutex_);
    told_.clear();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::pair<int, absl::StatusCode>> told_ ABSL_GUARDED_BY(mutex_);
};

class Waiter final : public CommitWaiter {
 public:
  Waiter(Told& told, int number) : told_(told), number_(number) {}
  void OnCommitted(const absl::Status& status) override { told_.Add(number_, status); }

 private:
  Told& told_;
  const int number_;
};

constexpr auto kOk = absl::StatusCode::kOk;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

class ReplicatedLogTest : public ::testing::TestWithParam<FlushMode> {
 protected:
  void SetUp() override {
    auto page = ControlPage::Open(RealFiles(), directory_.path() + "/control");
    ASSERT_OK(page);
    page_ = *std::move(page);
    page_->BeginOrders();
    page_->SetLeaseUntil(ControlPage::kNoLease);
    page_->Want(Role::kMaster, kEpoch);
  }
  CommitLogOptions Options() {
    CommitLogOptions options;
    options.directory = directory_.path();
    options.flush_mode = GetParam();
    options.segment_size_bytes = 64u << 10;
    options.epoch = kEpoch;
    options.replicated = true;
    options.boot_time = [this] { return std::chrono::nanoseconds(boot_time_.load()); };
    return options;
  }
  void Open() { Open(Options()); }
  void Open(const CommitLogOptions& options) {
    auto log = CommitLog::Open(options, RealFiles(), clock_);
    ASSERT_OK(log);
    log_ = *std::move(log);
  }
  absl::StatusOr<Appended> Append(CommitWaiter* waiter, std::string_view payload = "payload") {
    NewRecord record;
    record.payload = {&payload, 1};
    Appended appended;
    const absl::Status status = log_->Append({&record, 1}, {&appended, 1}, waiter);
    if (!status.ok()) return status;
    return appended;
  }
  // Appends that many, whose waiters are numbered on, each in a batch of its own.
  void AppendAll(int count) {
    for (; count > 0; --count) {
      waiters_.emplace_back(told_, static_cast<int>(waiters_.size()));
      ASSERT_OK(Append(&waiters_.back()));
      ends_.push_back(log_->end());
      AwaitDurable();
    }
  }
  void AwaitDurable() {
    const Watermark& durable = GetParam() == FlushMode::kSync ? log_->flushed() : log_->written();
    while (durable.Get() < log_->end()) durable.WaitAbove(durable.Get(), seconds(20));
  }

  TempDir directory_;
  ManualClock clock_;
  std::atomic<int64_t> boot_time_ = 0;
  std::unique_ptr<ControlPage> page_;
  Told told_;
  std::deque<Waiter> waiters_;
  std::vector<LogOffset> ends_;
  std::unique_ptr<CommitLog> log_;
};

INSTANTIATE_TEST_SUITE_P(Modes, ReplicatedLogTest,
                         ::testing::Values(FlushMode::kAsync, FlushMode::kSync),
                         [](const auto& info) {
                           return info.param == FlushMode::kAsync ? "Async" : "Sync";
                         });

TEST_P(ReplicatedLogTest, TellsInOrderWhatTheReplicasHave) {
  Open();
  AppendAll(4);
  AwaitDurable();
  EXPECT_THAT(told_.Now(), IsEmpty());
  EXPECT_EQ(log_->confirmed().Get(), LogOffset(0));
  page_->SetReplicated(ends_[1]);
  EXPECT_THAT(told_.Await(2), ElementsAre(std::pair(0, kOk), std::pair(1, kOk)));
  EXPECT_EQ(log_->confirmed().Get(), ends_[1]);
  EXPECT_EQ(page_->shown(), ends_[1]);
  page_->SetReplicated(ends_[3] - 8);
  EXPECT_EQ(told_.Await(3).size(), 3u);
  page_->SetReplicated(ends_[3] + 1000);  // of appends to come
  EXPECT_THAT(told_.Await(4), ElementsAre(std::pair(0, kOk), std::pair(1, kOk), std::pair(2, kOk),
                                          std::pair(3, kOk)));
  EXPECT_EQ(log_->confirmed().Get(), ends_[3]);
}

TEST_P(ReplicatedLogTest, UnderAsyncEverythingIsConfirmedOnceItIsDurable) {
  page_->SetReplicated(ControlPage::kEverything);
  Open();
  for (int i = 0; i < 20; ++i) {
    std::string_view payload = "payload";
    NewRecord record;
    record.payload = {&payload, 1};
    ASSERT_OK(log_->AppendAndWait(record));
    EXPECT_EQ(log_->confirmed().Get(), log_->end());
  }
}

TEST_P(ReplicatedLogTest, RingsForTheReplicator) {
  Open();
  uint32_t looked = page_->for_replicator().Look();
  AppendAll(1);
  while (page_->appended() < log_->end()) {
    page_->for_replicator().Wait(looked, seconds(20));
    EXPECT_NE(page_->for_replicator().Look(), looked);
    looked = page_->for_replicator().Look();
  }
}

TEST_P(ReplicatedLogTest, TellsNobodyWhenTheLeaseIsOverUntilItIsExtended) {
  page_->SetLeaseUntil(seconds(10));
  boot_time_ = 9'999'999'999;
  Open();
  AppendAll(1);
  page_->SetReplicated(ends_[0]);
  EXPECT_EQ(told_.Await(1).size(), 1u);
  boot_time_ = 10'000'000'000;
  AppendAll(2);
  AwaitDurable();
  page_->SetReplicated(ControlPage::kEverything);
  ASSERT_OK(log_->FlushUpTo(log_->end()));
  EXPECT_EQ(told_.Now().size(), 1u);
  EXPECT_EQ(log_->confirmed().Get(), ends_[0]);
  page_->SetLeaseUntil(seconds(20));
  EXPECT_THAT(told_.Await(3), ElementsAre(std::pair(0, kOk), std::pair(1, kOk), std::pair(2, kOk)));
}

TEST_P(ReplicatedLogTest, AnotherEpochOrRoleEndsIt) {
  for (const Wanted& next : {Wanted{Role::kMaster, kEpoch + 1}, Wanted{Role::kSlave, kEpoch},
                             Wanted{Role::kNone, Epoch(0)}}) {
    told_.Clear();
    waiters_.clear();
    ends_.clear();
    page_->SetReplicated(LogOffset(0));
    page_->Want(Role::kMaster, kEpoch);
    Open();
    AppendAll(3);
    page_->Want(next.role, next.epoch);
    page_->SetReplicated(ControlPage::kEverything);
    EXPECT_THAT(told_.Await(3), ElementsAre(std::pair(0, kUnavailable), std::pair(1, kUnavailable),
                                            std::pair(2, kUnavailable)));
    EXPECT_EQ(log_->confirmed().Get(), log_->start());
    EXPECT_THAT(Append(nullptr), StatusIs(kUnavailable));
    // Even if the role comes back: this log has ended.
    page_->Want(Role::kMaster, kEpoch);
    EXPECT_THAT(Append(nullptr), StatusIs(kUnavailable));
    EXPECT_OK(log_->Close());
    log_.reset();
    fs::remove_all(directory_.path() + "/log");
    fs::remove(directory_.path() + "/epochs");
  }
}

TEST_P(ReplicatedLogTest, ClosingTellsWhoeverStillWaits) {
  Open();
  AppendAll(3);
  page_->SetReplicated(ends_[0]);
  EXPECT_EQ(told_.Await(1).size(), 1u);
  EXPECT_OK(log_->Close());
  EXPECT_THAT(told_.Now(), ElementsAre(std::pair(0, kOk), std::pair(1, kUnavailable),
                                       std::pair(2, kUnavailable)));
}

TEST_P(ReplicatedLogTest, TakesOnlySoMuchThatWaitsForReplicas) {
  CommitLogOptions options = Options();
  options.max_unconfirmed_bytes = 10'000;
  Open(options);
  absl::Status status;
  int taken = 0;
  for (; taken < 1000 && status.ok(); ++taken) {
    status = Append(nullptr, std::string(1000, 'x')).status();
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_GE(taken, 10);
  EXPECT_LE(taken, 13);
  AwaitDurable();
  EXPECT_THAT(Append(nullptr), StatusIs(absl::StatusCode::kResourceExhausted));
  page_->SetReplicated(log_->end());
  while (log_->confirmed().Get() < log_->end()) {
    log_->confirmed().WaitAbove(log_->confirmed().Get(), seconds(20));
  }
  EXPECT_OK(Append(nullptr));
}

TEST_P(ReplicatedLogTest, ReopenedItShowsWhatTheReplicasHad) {
  Open();
  AppendAll(4);
  page_->SetReplicated(ends_[1]);
  EXPECT_EQ(told_.Await(2).size(), 2u);
  ASSERT_OK(log_->Close());
  log_.reset();
  Open();  // in the same epoch
  EXPECT_EQ(log_->end(), ends_[3]);
  EXPECT_EQ(log_->confirmed().Get(), ends_[1]);
  page_->SetReplicated(ends_[3]);
  while (log_->confirmed().Get() < ends_[3]) {
    log_->confirmed().WaitAbove(log_->confirmed().Get(), seconds(20));
  }
  AppendAll(1);
  EXPECT_EQ(log_->EpochAt(LogOffset(0)), kEpoch);
  EXPECT_EQ(log_->epoch(), kEpoch);
}

TEST_P(ReplicatedLogTest, AnEpochThatIsOverIsNotWrittenIn) {
  page_->SetReplicated(ControlPage::kEverything);
  Open();
  AppendAll(1);
  ASSERT_OK(log_->Close());
  log_.reset();
  CommitLogOptions options = Options();
  options.epoch = kEpoch - 1;
  EXPECT_THAT(CommitLog::Open(options, RealFiles(), clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  options.epoch = kEpoch + 7;
  page_->Want(Role::kMaster, options.epoch);
  Open(options);
  EXPECT_EQ(log_->epoch(), kEpoch + 7);
  EXPECT_EQ(log_->end(), ends_[0]);
}

TEST_P(ReplicatedLogTest, AnEpochDoesNotGoOnOverAHole) {
  if (GetParam() == FlushMode::kSync) GTEST_SKIP() << "nothing is behind a hole";
  CommitLogOptions options = Options();
  options.flush_interval = std::chrono::hours(1);
  page_->SetReplicated(ControlPage::kEverything);
  Open(options);
  AppendAll(10);
  AwaitDurable();
  // As a loss of power may leave it: the third record is gone, those behind it are not.
  const std::string copy = directory_.path() + "/lost";
  fs::create_directories(copy);
  for (const char* name : {"log", "epochs", "control"}) {
    fs::copy(directory_.path() + "/" + name, copy + "/" + name, fs::copy_options::recursive);
  }
  {
    std::fstream file(copy + "/log/00000000000000000000",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(ends_[1].value()));
    file << std::string(64, '\0');
  }
  options.directory = copy;
  EXPECT_THAT(CommitLog::Open(options, RealFiles(), clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  options.epoch = kEpoch + 1;
  auto log = CommitLog::Open(options, RealFiles(), clock_);
  ASSERT_OK(log);
  EXPECT_EQ((*log)->end(), ends_[1]);
}

// Appends of many threads, confirmed in leaps by another: each is told once, in its order.
TEST_P(ReplicatedLogTest, EachOfManyIsToldOnce) {
  constexpr int kThreads = 3;
  constexpr int kEach = 300;
  Open();
  std::atomic<bool> done = false;
  std::thread replicas([&] {
    while (!done) {
      const uint32_t looked = page_->for_replicator().Look();
      page_->SetReplicated(page_->appended());
      page_->for_replicator().Wait(looked, std::chrono::milliseconds(100));
    }
  });
  Told told[kThreads];
  std::deque<Waiter> waiters[kThreads];
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        waiters[t].emplace_back(told[t], i);
        NewRecord record;
        Appended appended;
        EXPECT_OK(log_->Append({&record, 1}, {&appended, 1}, &waiters[t].back(),
                               i % 2 == 0 ? CommitBy::kCaller : CommitBy::kCommitter));
        if (i % 2 == 0) log_->CommitHere();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Told& each : told) {
    const auto heard = each.Await(kEach);
    ASSERT_EQ(heard.size(), static_cast<size_t>(kEach));
    for (int i = 0; i < kEach; ++i) ASSERT_EQ(heard[static_cast<size_t>(i)], std::pair(i, kOk));
  }
  done = true;
  page_->for_replicator().Ring();
  replicas.join();
  EXPECT_EQ(log_->confirmed().Get(), log_->end());
}

}  // namespace
}  // namespace dunlin::store
