// What a commit log keeps when the power goes, or when the disk fails at the n-th call.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "services/base/file.h"
#include "services/base/testing/forgetful_file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/commit_log.h"

namespace dunlin::store {
namespace {

class PowerLossTest : public ::testing::TestWithParam<FlushMode> {
 protected:
  struct Store {
    TempDir directory;
    ManualClock clock;
    ForgetfulFiles files{RealFiles()};
    std::unique_ptr<CommitLog> log;
    int next = 0;  // number of the next record

    void Open() {
      CommitLogOptions options;
      options.directory = directory.path();
      options.flush_mode = GetParam();
      options.segment_size_bytes = 64u << 10;
      auto opened = CommitLog::Open(options, files, clock);
      ASSERT_OK(opened);
      log = *std::move(opened);
    }

    // A payload that begins with its number.
    absl::Status Append(size_t size) {
      std::string payload = std::to_string(next) + ' ';
      payload.resize(std::max(size, payload.size()), 'x');
      const std::string_view piece = payload;
      NewRecord record;
      record.payload = {&piece, 1};
      absl::Status status = log->AppendAndWait(record).status();
      if (status.ok()) ++next;
      return status;
    }

    // The numbers of all records, in the log's order.
    std::vector<int> ReadAll() {
      std::vector<int> numbers;
      LogOffset at = log->start();
      for (auto record = log->ReadNext(at, log->end()); record.ok();
           record = log->ReadNext(record->end(), log->end())) {
        numbers.push_back(std::stoi(std::string(record->payload())));
      }
      return numbers;
    }
  };

  // 0, 1, 2, ... without a gap.
  static void ExpectDense(const std::vector<int>& numbers) {
    for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], static_cast<int>(i));
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, PowerLossTest,
                         ::testing::Values(FlushMode::kAsync, FlushMode::kSync),
                         [](const auto& info) {
                           return info.param == FlushMode::kAsync ? "Async" : "Sync";
                         });

TEST_P(PowerLossTest, LeavesWhatWasSyncedAndThenACleanPrefix) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    Store store;
    for (int round = 0; round < 3; ++round) {
      SCOPED_TRACE(testing::Message() << "round " << round);
      store.Open();
      if (HasFatalFailure()) return;
      EXPECT_TRUE(store.log->damage().empty());
      const int count = 1 + static_cast<int>(random() % 40);
      int synced = store.next;
      for (int i = 0; i < count; ++i) {
        ASSERT_OK(store.Append(random() % 6000));
        if (GetParam() == FlushMode::kSync) synced = store.next;
        if (random() % 16 == 0) {
          ASSERT_OK(store.log->FlushUpTo(store.log->end()));
          synced = store.next;
        }
      }
      store.files.CutPower(random());
      store.log.reset();
      store.Open();
      if (HasFatalFailure()) return;
      const std::vector<int> left = store.ReadAll();
      ExpectDense(left);
      EXPECT_GE(static_cast<int>(left.size()), synced);
      EXPECT_LE(static_cast<int>(left.size()), store.next);
      EXPECT_TRUE(store.log->damage().empty());
      store.next = static_cast<int>(left.size());
      ASSERT_OK(store.log->Close());
      store.log.reset();
    }
  }
}

TEST_P(PowerLossTest, AFailureAtAnyCallIsFinalAndTakesNothingAcknowledged) {
  using Operation = ForgetfulFiles::Operation;
  const absl::Status errors[] = {absl::DataLossError("EIO"),
                                 absl::ResourceExhaustedError("ENOSPC")};
  int failed = 0;
  for (Operation operation : {Operation::kWrite, Operation::kDataSync}) {
    for (int n = 1; n <= 50; ++n) {
      SCOPED_TRACE(testing::Message()
                   << "call " << n << (operation == Operation::kWrite ? " write" : " sync"));
      Store store;
      store.Open();
      if (HasFatalFailure()) return;
      store.files.FailAt(operation, n, errors[n % 2]);
      absl::Status status;
      for (int i = 0; i < 60 && status.ok(); ++i) {
        status = store.Append(1000);
        if (status.ok()) status = store.log->FlushUpTo(store.log->end());
      }
      if (!status.ok()) {
        ++failed;
        EXPECT_FALSE(store.log->health().ok());
        EXPECT_FALSE(store.Append(10).ok()) << "taken after a failure";
      }
      // What was acknowledged under ASYNC_FLUSH survives the process only.
      if (GetParam() == FlushMode::kSync) store.files.CutPower(static_cast<uint32_t>(n));
      store.log.reset();
      store.Open();
      if (HasFatalFailure()) return;
      const std::vector<int> left = store.ReadAll();
      ExpectDense(left);
      EXPECT_GE(static_cast<int>(left.size()), store.next);
      EXPECT_TRUE(store.log->damage().empty());
    }
  }
  // The background may take some of the failures, and lives on; not most of them.
  EXPECT_GT(failed, 50);
}

// Several threads wait for the disk at a time: the one that comes after the failure must not take
// the next sync, which succeeds, for its own.
TEST_P(PowerLossTest, NoSyncAfterAFailedOneVouchesForWhatThatOneLost) {
  for (int n = 1; n <= 12; ++n) {
    SCOPED_TRACE(testing::Message() << "sync " << n);
    Store store;
    store.Open();
    if (HasFatalFailure()) return;
    store.files.SetSyncTime(std::chrono::microseconds(500));
    store.files.FailAt(ForgetfulFiles::Operation::kDataSync, n, absl::DataLossError("EIO"));
    std::atomic<int> appended = 0;
    std::atomic<int> promised = 0;  // records of which FlushUpTo said that they are on disk
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        while (store.log->health().ok()) {
          const int before = appended.load();
          if (!store.log->FlushUpTo(store.log->written().Get()).ok()) return;
          for (int known = promised.load();
               known < before && !promised.compare_exchange_weak(known, before);) {
          }
        }
      });
    }
    for (int i = 0; i < 50 && store.Append(400).ok(); ++i) appended.store(store.next);
    if (store.log->health().ok()) {  // few syncs were enough for all of them
      store.files.FailAt(ForgetfulFiles::Operation::kDataSync, 1, absl::DataLossError("EIO"));
      store.Append(400).IgnoreError();
      store.log->FlushUpTo(store.log->end()).IgnoreError();
    }
    for (std::thread& thread : threads) thread.join();
    const int safe = GetParam() == FlushMode::kSync ? store.next : promised.load();
    store.files.CutPower(static_cast<uint32_t>(n));
    store.log.reset();
    store.Open();
    if (HasFatalFailure()) return;
    const std::vector<int> left = store.ReadAll();
    ExpectDense(left);
    EXPECT_GE(static_cast<int>(left.size()), safe);
  }
}

}  // namespace
}  // namespace dunlin::store
