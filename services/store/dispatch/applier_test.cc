#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/tag_hash.h"
#include "services/store/state/database.h"

namespace dunlin::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr QueueKey kQueue{TopicId(1), 0};
constexpr QueueKey kLetters{TopicId(2), 0};
constexpr GroupId kGroup(1);

class ApplierTest : public ::testing::Test {
 protected:
  std::vector<IndexEntry> ReadAll(QueueKey queue) {
    std::vector<IndexEntry> entries;
    const QueueBounds bounds = rig_.dispatcher().queues().Bounds(queue);
    EXPECT_OK(rig_.dispatcher().queues().Read(queue, bounds.min, 1'000'000, entries));
    return entries;
  }

  // In flight, as the view has it.
  std::vector<uint64_t> InFlight(GroupId group, QueueKey queue) {
    auto progress = rig_.state().GetProgress(group, queue);
    EXPECT_OK(progress);
    std::vector<uint64_t> offsets;
    uint64_t offset = 0;
    for (uint64_t delta : progress->offset_deltas()) {
      offsets.push_back(offset += delta);
      EXPECT_EQ(progress->lanes(static_cast<int>(offsets.size()) - 1), offset + 9);
    }
    EXPECT_EQ(progress->acknowledged_size(), progress->offset_deltas_size());
    EXPECT_EQ(progress->attempts_size(), progress->offset_deltas_size());
    EXPECT_EQ(progress->lease_ids_size(), progress->offset_deltas_size());
    return offsets;
  }

  void Rebuild() {
    rig_.Close();
    std::filesystem::remove_all(rig_.state_directory());
    rig_.Open();
  }

  StoreRig rig_;
};

TEST_F(ApplierTest, FindsMessagesByOffsetTagKeyAndId) {
  rig_.Open();
  std::vector<Appended> sent;
  for (int i = 0; i < 300; ++i) {  // more than two chunks
    sent.push_back(rig_.Send(kQueue, i % 2 == 0 ? "even" : "", {"k" + std::to_string(i % 10)},
                             "id-" + std::to_string(i)));
  }
  rig_.Settle();
  const std::vector<IndexEntry> entries = ReadAll(kQueue);
  ASSERT_THAT(entries, SizeIs(300));
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].log_offset, sent[i].log_offset);
    EXPECT_EQ(entries[i].tag_hash, i % 2 == 0 ? TagHash("even") : 0u);
    EXPECT_EQ(entries[i].length, rig_.log().Read(entries[i].log_offset)->header().length);
  }
  EXPECT_THAT(rig_.dispatcher().keys().FindByKey(kQueue.topic, "k3", 2),
              IsOkAndHolds(ElementsAre(sent[293].log_offset, sent[283].log_offset)));
  EXPECT_THAT(rig_.dispatcher().keys().FindByMessageId(kQueue.topic, "id-17", 9),
              IsOkAndHolds(ElementsAre(sent[17].log_offset)));
  EXPECT_THAT(rig_.dispatcher().keys().FindByMessageId(kLetters.topic, "id-17", 9),
              IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(rig_.dispatcher().TakeChangedTopics(), ElementsAre(kQueue.topic));
  EXPECT_THAT(rig_.dispatcher().TakeChangedTopics(), IsEmpty());
}

TEST_F(ApplierTest, RefusesOffsetsOutsideTheQueue) {
  rig_.Open();
  rig_.Send(kQueue);
  rig_.Settle();
  std::vector<IndexEntry> entries;
  EXPECT_OK(rig_.dispatcher().queues().Read(kQueue, QueueOffset(1), 10, entries));
  EXPECT_THAT(entries, IsEmpty());
  EXPECT_THAT(rig_.dispatcher().queues().Read(kQueue, QueueOffset(2), 10, entries),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("holds 0 to 1")));
}

TEST_F(ApplierTest, FindsTheFirstMessageOfAMoment) {
  rig_.Open();
  std::vector<Appended> sent;
  for (int i = 0; i < 200; ++i) {
    sent.push_back(rig_.Send(kQueue));
    if (i % 3 == 0) rig_.clock().Advance(std::chrono::milliseconds(5));
  }
  rig_.Settle();
  const QueueIndex& queues = rig_.dispatcher().queues();
  for (Timestamp time = sent[0].store_time - std::chrono::milliseconds(1);
       time <= sent.back().store_time + std::chrono::milliseconds(1);
       time += std::chrono::milliseconds(1)) {
    const auto first = std::find_if(sent.begin(), sent.end(), [&](const Appended& message) {
      return message.store_time >= time;
    });
    EXPECT_THAT(queues.FindByTime(kQueue, time),
                IsOkAndHolds(QueueOffset(static_cast<uint64_t>(first - sent.begin()))));
  }
}

TEST_F(ApplierTest, ADeadLetterStandsInItsQueueAndEndsItsFlight) {
  rig_.Open();
  std::vector<Appended> sent;
  for (int i = 0; i < 5; ++i) sent.push_back(rig_.Send(kQueue, "red"));
  rig_.PutProgress(kGroup, kQueue, 5, {1, 3, 4});
  const Appended letter = rig_.BuryLetter(kGroup, kQueue, sent[3], kLetters);
  rig_.Settle();
  EXPECT_THAT(InFlight(kGroup, kQueue), ElementsAre(1, 4));
  const std::vector<IndexEntry> letters = ReadAll(kLetters);
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0].log_offset, letter.log_offset);
  EXPECT_EQ(letters[0].tag_hash, TagHash("red"));
}

TEST_F(ApplierTest, ALetterInALightweightTopicChangesThatOne) {
  rig_.Open();
  const QueueKey lite{TopicId(1), kFirstLiteQueue + 3};
  const Appended message = rig_.Send(kQueue);
  rig_.Settle();
  EXPECT_THAT(rig_.dispatcher().TakeChangedTopics(), ElementsAre(kQueue.topic));
  rig_.BuryLetter(GroupId(0), kQueue, message, lite);
  rig_.Settle();
  EXPECT_THAT(rig_.dispatcher().TakeChangedLiteTopics(), ElementsAre(lite));
  EXPECT_THAT(rig_.dispatcher().TakeChangedTopics(), IsEmpty());
}

TEST_F(ApplierTest, TheNumberOfALightweightTopicStaysTakenWhenTheRecordThatToldItIsLost) {
  rig_.Open();
  const Appended message = rig_.Send({TopicId(1), kFirstLiteQueue + 5});
  rig_.Settle();
  EXPECT_EQ(rig_.dispatcher().next_lite_queue(), kFirstLiteQueue + 6);
  rig_.PutLiteTopic({TopicId(1), kFirstLiteQueue + 3}, "told late");
  rig_.BuryLetter(GroupId(0), kQueue, message, {TopicId(1), kFirstLiteQueue + 7});
  rig_.Settle();
  for (bool rebuilt : {false, true}) {
    SCOPED_TRACE(rebuilt);
    if (rebuilt) Rebuild();
    EXPECT_EQ(rig_.dispatcher().next_lite_queue(), kFirstLiteQueue + 8);
  }
}

TEST_F(ApplierTest, ADeletedTopicTakesItsIndexAndProgressAlong) {
  rig_.Open();
  rig_.PutTopic(TopicId(1));
  rig_.PutTopic(TopicId(2));
  rig_.PutGroup(GroupId(7));
  for (int i = 0; i < 200; ++i) rig_.Send(kQueue);
  rig_.Send(kLetters);
  rig_.PutProgress(kGroup, kQueue, 3, {1});
  rig_.PutProgress(kGroup, kLetters, 1, {});
  rig_.DeleteTopic(TopicId(1));
  rig_.Settle();
  EXPECT_EQ(rig_.dispatcher().queues().Bounds(kQueue).max, QueueOffset(0));
  EXPECT_THAT(rig_.state().GetProgress(kGroup, kQueue), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(rig_.state().GetProgress(kGroup, kLetters));
  EXPECT_THAT(*rig_.state().ListTopics(), SizeIs(1));
  rig_.DeleteGroup(kGroup);
  rig_.Settle();
  EXPECT_THAT(*rig_.state().ListProgress(kGroup), IsEmpty());
  // Numbers are never given again.
  rig_.Close();
  rig_.Open();
  EXPECT_EQ(rig_.dispatcher().next_topic_id(), TopicId(3));
  EXPECT_EQ(rig_.dispatcher().next_group_id(), GroupId(8));
}

TEST_F(ApplierTest, ARecordOfANewerVersionStopsItPrecisely) {
  rig_.Open();
  const Appended unknown = rig_.AppendRecord(static_cast<RecordKind>(99), "?");
  while (rig_.dispatcher().health().ok()) {
    rig_.dispatcher().dispatched().WaitAbove(unknown.log_offset, std::chrono::milliseconds(1));
  }
  EXPECT_THAT(rig_.dispatcher().health(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("kind 99")));
  EXPECT_THAT(rig_.dispatcher().Checkpoint(), StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(rig_.dispatcher().Stop(), StatusIs(absl::StatusCode::kUnimplemented));
  rig_.Abandon();
  rig_.OpenLog();
  EXPECT_THAT(rig_.StartDispatcher(), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(ApplierTest, AChangeOfTheConfigurationThatIsNoneIsPassedOver) {
  rig_.Open();
  rig_.PutTopic(TopicId(4));
  storage::v1::ConfigChange change;
  change.mutable_put_topic()->set_id(5);
  change.mutable_put_topic()->set_name("bad \xff text");
  rig_.AppendRecord(RecordKind::kConfig, change.SerializeAsString());
  rig_.PutGroup(GroupId(6));
  rig_.Settle();
  for (bool rebuilt : {false, true}) {
    SCOPED_TRACE(rebuilt);
    if (rebuilt) Rebuild();
    auto topics = rig_.state().ListTopics();
    ASSERT_OK(topics);
    EXPECT_THAT(*topics, SizeIs(1));
    auto groups = rig_.state().ListGroups();
    ASSERT_OK(groups);
    EXPECT_THAT(*groups, SizeIs(1));
    // There are messages of the topic that is missing: nobody else gets its number.
    EXPECT_GT(rig_.dispatcher().next_topic_id(), TopicId(5));
  }
}

TEST_F(ApplierTest, DamageInTheViewEndsTheThreadForItsCallersToo) {
  rig_.Open();
  rig_.Send(kQueue);
  rig_.Settle();
  rig_.state().database().Damaged("a row of this test").IgnoreError();
  while (rig_.dispatcher().Checkpoint().ok()) {
  }
  EXPECT_THAT(rig_.dispatcher().Snapshot(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(rig_.dispatcher().Stop(), StatusIs(absl::StatusCode::kDataLoss));
  rig_.Abandon();
}

TEST_F(ApplierTest, AnOffsetLostToDamageKeepsItsPlace) {
  rig_.Open();
  std::vector<Appended> sent;
  for (int i = 0; i < 10; ++i) sent.push_back(rig_.Send(kQueue));
  ASSERT_OK(rig_.log().FlushUpTo(rig_.log().end()));
  rig_.Send(kQueue);  // says that what is before it was flushed
  rig_.Close();
  std::filesystem::remove_all(rig_.state_directory());
  {
    const std::string path = rig_.directory() + "/log/00000000000000000000";
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(sent[4].log_offset.value()) + 60);
    file.put('\x55');
  }
  rig_.Open();
  const std::vector<IndexEntry> entries = ReadAll(kQueue);
  ASSERT_THAT(entries, SizeIs(11));
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(entries[i].length == 0, i == 4);
    if (i != 4) EXPECT_EQ(entries[i].log_offset, sent[i].log_offset);
  }
  EXPECT_EQ(*rig_.dispatcher().NextOffset(kQueue), QueueOffset(11));
}

TEST_F(ApplierTest, ASnapshotIsWhatCountsAndThenWhatChangedSince) {
  rig_.Open();
  rig_.PutTopic(TopicId(1));
  rig_.PutProgress(kGroup, kQueue, 1, {});
  const LogOffset as_of = rig_.log().end();
  rig_.PutProgress(kGroup, kQueue, 2, {});
  storage::v1::SnapshotPart part;
  part.set_as_of(as_of.value());
  part.add_topics()->set_id(1);
  part.set_next_topic_id(9);
  rig_.AppendRecord(RecordKind::kSnapshot, part.SerializeAsString());
  rig_.PutProgress(kGroup, kQueue, 3, {});  // between the parts
  part.Clear();
  part.set_as_of(as_of.value());
  part.set_part(1);
  part.set_last(true);
  storage::v1::QueueProgress& progress = *part.add_progress();
  progress.set_group_id(kGroup.value());
  progress.set_topic_id(kQueue.topic.value());
  progress.set_cursor(1);
  storage::v1::QueueTail& tail = *part.add_tails();
  tail.set_topic_id(kQueue.topic.value());
  tail.set_next_offset(77);
  rig_.AppendRecord(RecordKind::kSnapshot, part.SerializeAsString());
  rig_.Settle();
  EXPECT_EQ(rig_.state().GetProgress(kGroup, kQueue)->cursor(), 3u);
  EXPECT_EQ(rig_.dispatcher().snapshot().as_of, as_of);
  Rebuild();
  EXPECT_EQ(rig_.state().GetProgress(kGroup, kQueue)->cursor(), 3u);
  EXPECT_EQ(rig_.dispatcher().next_topic_id(), TopicId(9));
  EXPECT_EQ(*rig_.dispatcher().NextOffset(kQueue), QueueOffset(77));
  EXPECT_EQ(rig_.dispatcher().snapshot().as_of, as_of);
}

TEST_F(ApplierTest, HalfASnapshotCountsForNothing) {
  rig_.Open();
  rig_.PutTopic(TopicId(1));
  storage::v1::SnapshotPart part;
  part.set_as_of(rig_.log().end().value());
  rig_.AppendRecord(RecordKind::kSnapshot, part.SerializeAsString());
  part.set_part(2);
  part.set_last(true);
  rig_.AppendRecord(RecordKind::kSnapshot, part.SerializeAsString());
  rig_.Settle();
  EXPECT_FALSE(rig_.dispatcher().snapshot().exists);
  Rebuild();
  EXPECT_FALSE(rig_.dispatcher().snapshot().exists);
  EXPECT_THAT(*rig_.state().ListTopics(), SizeIs(1));
}

}  // namespace
}  // namespace dunlin::store
