#include "services/store/log/control_page.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::store {
namespace {

using std::chrono::seconds;

// Long enough that running into it means a lost wake-up.
constexpr seconds kLost{20};

class ControlPageTest : public ::testing::Test {
 protected:
  std::string Path() const { return directory_.path() + "/control"; }
  std::unique_ptr<ControlPage> Open() {
    auto page = ControlPage::Open(RealFiles(), Path());
    EXPECT_OK(page);
    return *std::move(page);
  }
  void WriteFile(std::string_view contents) {
    EXPECT_OK(WriteFileDurably(RealFiles(), Path(), contents));
  }

  TempDir directory_;
};

// False when a wait was not ended by whoever made the condition true.
bool Await(Bell& bell, absl::FunctionRef<bool()> condition) {
  for (;;) {
    const uint32_t looked = bell.Look();
    if (condition()) return true;
    const auto begun = std::chrono::steady_clock::now();
    bell.Wait(looked, kLost);
    if (std::chrono::steady_clock::now() - begun >= kLost) return false;
  }
}

TEST_F(ControlPageTest, IsEmptyAtFirstAndSharedByAllWhoOpenIt) {
  const auto replicator = Open();
  const auto broker = Open();
  EXPECT_EQ(broker->wanted(), Wanted());
  EXPECT_EQ(broker->reported(), Reported());
  EXPECT_EQ(broker->sends(), Sends::kNobodySaid);
  replicator->BeginOrders();
  replicator->SetReplicated(LogOffset(17));
  replicator->SetLeaseUntil(seconds(5));
  replicator->SetSends(Sends::kTooFewInSync);
  replicator->SetMasterStart(LogOffset(3));
  replicator->SetMember({.id = UINT32_MAX, .learner = true});
  const uint32_t serial = replicator->Want(Role::kMaster, Epoch(UINT32_MAX));
  EXPECT_EQ(broker->wanted(), (Wanted{Role::kMaster, Epoch(UINT32_MAX), serial}));
  EXPECT_EQ(broker->replicated(), LogOffset(17));
  EXPECT_EQ(broker->lease_until(), seconds(5));
  EXPECT_EQ(broker->sends(), Sends::kTooFewInSync);
  EXPECT_EQ(broker->master_start(), LogOffset(3));
  EXPECT_EQ(broker->member(), (MemberStanding{.id = UINT32_MAX, .learner = true}));
  broker->Report({BrokerState::kMaster, serial});
  broker->SetViewed(LogOffset(9));
  broker->Beat();
  EXPECT_EQ(replicator->reported(), (Reported{BrokerState::kMaster, serial}));
  EXPECT_EQ(replicator->viewed(), LogOffset(9));
  EXPECT_EQ(replicator->heartbeat(), 1u);
  broker->SetLogEpoch(Epoch(4));
  broker->SetLogStart(LogOffset(5));
  broker->SetAppended(LogOffset(8));
  broker->SetFlushed(LogOffset(7));
  EXPECT_EQ(replicator->log_epoch(), Epoch(4));
  EXPECT_EQ(replicator->log_start(), LogOffset(5));
  EXPECT_EQ(replicator->appended(), LogOffset(8));
  EXPECT_EQ(replicator->flushed(), LogOffset(7));
}

TEST_F(ControlPageTest, OutlivesItsProcessesButNotTheOrdersOfAnEarlierReplicator) {
  uint32_t serial = 0;
  {
    const auto page = Open();
    page->BeginOrders();
    page->SetReplicated(ControlPage::kEverything);
    page->SetLeaseUntil(ControlPage::kNoLease);
    page->SetSends(Sends::kAccepted);
    page->SetAppended(LogOffset(100));
    serial = page->Want(Role::kMaster, Epoch(2));
  }
  const auto page = Open();
  EXPECT_EQ(page->wanted(), (Wanted{Role::kMaster, Epoch(2), serial}));
  EXPECT_EQ(page->lease_until(), ControlPage::kNoLease);
  page->BeginOrders();
  EXPECT_EQ(page->wanted().role, Role::kNone);
  EXPECT_NE(page->wanted().serial, serial);
  EXPECT_EQ(page->replicated(), LogOffset(0));
  EXPECT_EQ(page->lease_until(), seconds(0));
  EXPECT_EQ(page->sends(), Sends::kNobodySaid);
  EXPECT_EQ(page->appended(), LogOffset(100)) << "the log's part is another's";
}

TEST_F(ControlPageTest, OrdersOfAnEarlierBootReadAsNone) {
  {
    const auto page = Open();
    page->BeginOrders();
    page->SetLeaseUntil(ControlPage::kNoLease);
    page->SetSends(Sends::kAccepted);
    page->Want(Role::kMaster, Epoch(2));
  }
  auto bytes = ReadWholeFile(RealFiles(), Path());
  ASSERT_OK(bytes);
  (*bytes)[64 + 64] ^= 1;  // the number of the boot
  WriteFile(*bytes);
  const auto page = Open();
  EXPECT_EQ(page->wanted(), Wanted());
  EXPECT_EQ(page->lease_until(), seconds(0));
  EXPECT_EQ(page->sends(), Sends::kNobodySaid);
}

TEST_F(ControlPageTest, APageOfAnotherFormatIsMadeAnew) {
  Open()->SetFlushed(LogOffset(100));
  auto bytes = ReadWholeFile(RealFiles(), Path());
  ASSERT_OK(bytes);
  for (const std::string& other : {std::string(), std::string("?"), bytes->substr(0, 4095),
                                   *bytes + "?", bytes->substr(0, 8) + '\1' + bytes->substr(9)}) {
    WriteFile(other);
    const auto page = Open();
    EXPECT_EQ(page->flushed(), LogOffset(0));
    page->SetFlushed(LogOffset(5));
    EXPECT_EQ(Open()->flushed(), LogOffset(5));
  }
}

TEST_F(ControlPageTest, ManyMayMakeItAtATime) {
  for (int round = 0; round < 20; ++round) {
    WriteFile("of another format");
    std::vector<std::thread> threads;
    std::atomic<uint64_t> cuts = 0;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const auto page = Open();
        page->CountCut();
        ++cuts;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(Open()->cuts(), cuts.load()) << "what one had stored was wiped out by another";
  }
}

TEST_F(ControlPageTest, TheLowerOfTheTwoFlushedOffsetsCounts) {
  Open()->SetFlushed(LogOffset(100));
  auto bytes = ReadWholeFile(RealFiles(), Path());
  ASSERT_OK(bytes);
  (*bytes)[64 + 24 + 6] ^= 1;
  WriteFile(*bytes);
  const auto page = Open();
  EXPECT_EQ(page->flushed(), LogOffset(100));
  EXPECT_OK(page->LowerFlushed(LogOffset(60)));
  EXPECT_EQ(page->flushed(), LogOffset(60));
  EXPECT_OK(page->LowerFlushed(LogOffset(80)));
  EXPECT_EQ(page->flushed(), LogOffset(60)) << "never up";
}

TEST_F(ControlPageTest, SerialsGoRoundWithoutZero) {
  const auto page = Open();
  page->BeginOrders();
  uint32_t last = 0;
  for (uint32_t i = 0; i < (1u << 24) + 2; ++i) {
    const uint32_t serial = page->Want(Role::kSlave, Epoch(7));
    ASSERT_NE(serial, 0u);
    ASSERT_NE(serial, last);
    last = serial;
  }
  EXPECT_EQ(page->wanted(), (Wanted{Role::kSlave, Epoch(7), last}));
}

TEST_F(ControlPageTest, ABellRungBeforeIsNotWaitedFor) {
  const auto page = Open();
  const uint32_t looked = page->for_broker().Look();
  page->for_broker().Ring();
  page->for_broker().Wait(looked, std::chrono::hours(1));
  page->for_broker().Wait(looked, std::chrono::nanoseconds(0));
  EXPECT_NE(page->for_broker().Look(), looked);
}

// Each side waits for the other's last step.
TEST_F(ControlPageTest, NoWakeUpIsLostBetweenTwoProcesses) {
  constexpr uint64_t kRounds = 20'000;
  Open()->BeginOrders();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto opened = ControlPage::Open(RealFiles(), Path());
    if (!opened.ok()) _exit(2);
    ControlPage& page = **opened;
    for (uint64_t round = 1; round <= kRounds; ++round) {
      if (!Await(page.for_broker(), [&] { return page.replicated().value() >= round; })) _exit(1);
      page.SetViewed(LogOffset(round));
    }
    _exit(0);
  }
  const auto page = Open();
  for (uint64_t round = 1; round <= kRounds; ++round) {
    page->SetReplicated(LogOffset(round));
    ASSERT_TRUE(Await(page->for_replicator(), [&] { return page->viewed().value() >= round; }));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// Several wait on one bell, which several ring.
TEST_F(ControlPageTest, NoWakeUpIsLostAmongManyThreads) {
  constexpr uint64_t kRounds = 5'000;
  constexpr int kWaiters = 3;
  std::atomic<uint64_t> now = 0;
  std::atomic<uint64_t> seen[kWaiters] = {};
  std::atomic<bool> lost = false;
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < kWaiters; ++i) {
    threads.emplace_back([&, i] {
      const auto page = Open();
      for (uint64_t round = 1; round <= kRounds && !lost; ++round) {
        if (!Await(page->for_broker(), [&] { return now >= round || lost; })) lost = true;
        seen[i] = round;
        page->for_replicator().Ring();
      }
    });
  }
  std::thread noise([&] {
    const auto page = Open();
    while (!done) page->for_broker().Ring();
  });
  const auto page = Open();
  for (uint64_t round = 1; round <= kRounds && !lost; ++round) {
    now = round;
    page->for_broker().Ring();
    if (!Await(page->for_replicator(), [&] {
          return lost || (seen[0] >= round && seen[1] >= round && seen[2] >= round);
        })) {
      lost = true;
    }
  }
  page->for_broker().Ring();
  for (std::thread& thread : threads) thread.join();
  done = true;
  noise.join();
  EXPECT_FALSE(lost);
}

// One that died while it waited leaves its mark; it costs nobody anything.
TEST_F(ControlPageTest, AWaiterThatDiesDisturbsNobody) {
  const auto page = Open();
  page->BeginOrders();
  const uint32_t begun = page->for_replicator().Look();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto opened = ControlPage::Open(RealFiles(), Path());
    if (!opened.ok()) _exit(2);
    (*opened)->for_replicator().Ring();
    for (;;) (*opened)->for_broker().Wait((*opened)->for_broker().Look(), std::chrono::hours(1));
  }
  Await(page->for_replicator(), [&] { return page->for_replicator().Look() != begun; });
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  std::thread ringer([&] { page->SetReplicated(LogOffset(1)); });
  EXPECT_TRUE(Await(page->for_broker(), [&] { return page->replicated() == LogOffset(1); }));
  ringer.join();
}

}  // namespace
}  // namespace dunlin::store
