// A slave's view, built from the copy of its master's log, is the master's.

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/timer.h"
#include "services/store/index/transaction.h"
#include "services/store/log/control_page.h"
#include "services/store/log/log_mirror.h"
#include "services/store/log/raw_reader.h"
#include "services/store/log/testing/log_copy.h"

namespace dunlin::store {
namespace {

constexpr TopicId kTopic(1);

class FollowerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    master_.Open();
    OpenMirror();
    auto page = ControlPage::Open(RealFiles(), slave_.directory() + "/control");
    ASSERT_OK(page);
    page_ = *std::move(page);
    page_->BeginOrders();
  }
  void OpenMirror() {
    mirror_.reset();
    auto mirror = LogMirror::Open({slave_.directory()}, RealFiles());
    ASSERT_OK(mirror);
    mirror_ = *std::move(mirror);
  }
  // Some of everything that a log holds.
  void Work(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      const QueueKey queue{kTopic, static_cast<uint32_t>(random_() % 3)};
      const GroupId group(static_cast<uint32_t>(1 + random_() % 3));
      if (i % 20 == 0) {
        master_.PutTopic(TopicId(static_cast<uint32_t>(1 + random_() % 5)));
        master_.PutGroup(group);
      }
      master_.AnnounceProducer(random_() % 3, queue, static_cast<uint64_t>(++sequence_), 1);
      const Appended sent =
          master_.Send(queue, "tag", {"a"}, "", std::string(random_() % 2000, 'x'));
      master_.PutProgress(group, queue, random_() % 50, {60 + random_() % 50});
      const Timestamp due = master_.clock().Now() + std::chrono::milliseconds(random_() % 100);
      const Timer timer = master_.Park(queue, due, "later", {"b"});
      if (random_() % 2 == 0) master_.DeliverTimer(timer);
      const Transaction half = master_.Prepare(queue, due);
      if (random_() % 2 == 0) master_.Resolve(half, TransactionState::kCommitted);
      if (random_() % 5 == 0) master_.BuryLetter(group, queue, sent, {TopicId(3), 0});
      if (random_() % 30 == 0) master_.Trim(queue, random_() % 20);
    }
    master_.Settle();
  }
  // The mirror has everything that the master has, and all of it is confirmed.
  void Ship() {
    auto reader = RawReader::Open(RealFiles(), master_.directory());
    ASSERT_OK(reader);
    ASSERT_OK(CopyRest(**reader, *mirror_, random_));
    ASSERT_EQ(mirror_->end(), master_.log().end());
    page_->SetReplicated(mirror_->end());
  }
  std::map<std::string, std::string> Describe(StoreRig& rig) {
    std::vector<QueueKey> queues = {{TopicId(3), 0}};
    for (uint32_t queue = 0; queue < 3; ++queue) queues.push_back({kTopic, queue});
    auto words = rig.Describe(queues, {"a", "b"});
    EXPECT_OK(words);
    return words.value_or(std::map<std::string, std::string>());
  }
  void ExpectSameView() {
    while (slave_.log().confirmed().Get() < mirror_->end()) {
      ASSERT_OK(slave_.log().health());
      slave_.log().confirmed().WaitAbove(slave_.log().confirmed().Get(),
                                         std::chrono::milliseconds(100));
    }
    slave_.Settle();
    EXPECT_EQ(Describe(slave_), Describe(master_));
  }
  void OpenSlave() {
    slave_.FollowLog();
    ASSERT_OK(slave_.StartDispatcher());
  }

  std::mt19937 random_{11};
  int sequence_ = 0;
  StoreRig master_;
  StoreRig slave_;
  std::unique_ptr<LogMirror> mirror_;
  std::unique_ptr<ControlPage> page_;
};

TEST_F(FollowerTest, ASlavesViewIsItsMastersAtAnyTime) {
  OpenSlave();
  for (int round = 0; round < 6; ++round) {
    Work(60);
    Ship();
    ExpectSameView();
    if (HasFatalFailure()) return;
    switch (round) {
      case 1:
        ASSERT_OK(slave_.dispatcher().Checkpoint());
        EXPECT_EQ(page_->viewed(), mirror_->end());
        break;
      case 2:
        slave_.Close();
        OpenSlave();
        break;
      case 3:  // nobody has told the new replicator yet what is confirmed
        slave_.Close();
        page_->BeginOrders();
        OpenSlave();
        ExpectSameView();
        break;
      case 4:
        slave_.Crash();
        OpenMirror();
        OpenSlave();
        break;
      default:
        break;
    }
    if (HasFatalFailure()) return;
  }
}

TEST_F(FollowerTest, APromotedSlaveGoesOnWhereItsMasterWas) {
  OpenSlave();
  Work(80);
  Ship();
  ExpectSameView();
  const auto before = Describe(master_);
  slave_.Close();
  ASSERT_OK(mirror_->Close());
  slave_.Open();
  EXPECT_EQ(Describe(slave_), before);
  EXPECT_EQ(slave_.log().start(), master_.log().start());
}

TEST_F(FollowerTest, ASlaveThatBeginsInTheMiddleHasTheStateFromASnapshot) {
  Work(60);
  ASSERT_OK(master_.Expire(64u << 10));
  ASSERT_GT(master_.log().start(), LogOffset(0));
  ASSERT_OK(mirror_->Reset(master_.log().start(), LogMirror::Confirmed::kMayGo));
  // It is open before anything comes.
  OpenSlave();
  Work(5);
  Ship();
  ExpectSameView();
  slave_.Close();
  OpenSlave();
  ExpectSameView();
}

TEST_F(FollowerTest, ASlaveThatIsOpenWhenItsLogIsSetSomewhereElseHasTheState) {
  OpenSlave();
  Work(60);
  ASSERT_OK(master_.Expire(64u << 10));
  ASSERT_GT(master_.log().start(), LogOffset(0));
  ASSERT_OK(mirror_->Reset(master_.log().start(), LogMirror::Confirmed::kMayGo));
  Ship();
  ExpectSameView();
}

TEST_F(FollowerTest, AViewOfWhatWasCutOffIsBuiltAnew) {
  // What the slave has was never its next master's.
  Work(40);
  const LogOffset common = master_.log().end();
  Ship();
  master_.Close();
  StoreRig next;
  {
    auto mirror = LogMirror::Open({next.directory()}, RealFiles());
    ASSERT_OK(mirror);
    auto reader = RawReader::Open(RealFiles(), master_.directory());
    ASSERT_OK(reader);
    ASSERT_OK(CopyRest(**reader, **mirror, random_));
    ASSERT_OK((*mirror)->Close());
  }
  master_.Open();
  Work(20);
  Ship();
  OpenSlave();
  ExpectSameView();
  slave_.Close();
  // The next one goes on in an epoch of its own, further than the slave had come.
  CommitLogOptions options;
  options.directory = next.directory();
  options.epoch = master_.log().epoch() + 1;
  {
    auto log = CommitLog::Open(options, RealFiles(), next.clock());
    ASSERT_OK(log);
    ASSERT_EQ((*log)->end(), common);
    ASSERT_OK((*log)->Close());
  }
  next.Open();
  for (int i = 0; i < 400; ++i) next.Send({kTopic, 0}, "next", {"a"}, "", std::string(1000, 'y'));
  next.Settle();
  ASSERT_OK(mirror_->TruncateTo(PointAt(mirror_->epochs(), common), LogMirror::Confirmed::kMayGo));
  auto reader = RawReader::Open(RealFiles(), next.directory());
  ASSERT_OK(reader);
  ASSERT_OK(CopyRest(**reader, *mirror_, random_));
  page_->SetReplicated(mirror_->end());
  OpenSlave();
  slave_.Settle();
  EXPECT_EQ(slave_.log().end(), mirror_->end());
  EXPECT_EQ(Describe(slave_), Describe(next));
}

}  // namespace
}  // namespace dunlin::store
