// The rule that everything derived from the log can be rebuilt from it, and what a crash may leave.

#include "services/store/dispatch/dispatcher.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <future>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/testing/forgetful_file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/index/tag_hash.h"
#include "services/store/retention/retention.h"

namespace dunlin::store {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// A serialised Message: a body, then system_properties with tag, one key and an id.
struct TestMessage {
  std::string payload;
  uint32_t properties_offset = 0;
};

TestMessage MakeMessage(std::string_view body, std::string_view tag, std::string_view key,
                        std::string_view id) {
  auto field = [](int number, std::string_view bytes) {
    std::string out;
    out.push_back(static_cast<char>(number << 3 | 2));
    out.push_back(static_cast<char>(bytes.size()));
    return out.append(bytes);
  };
  TestMessage message;
  message.payload = field(4, body);
  message.properties_offset = static_cast<uint32_t>(message.payload.size());
  message.payload += field(3, field(1, tag) + field(2, key) + field(3, id));
  return message;
}

class DispatcherTest : public ::testing::Test {
 protected:
  void Open() {
    CommitLogOptions options;
    options.directory = directory_.path();
    options.segment_size_bytes = 64u << 10;
    options.known_flushed = [this] {
      auto state = StateStore::Open(directory_.path() + "/state");
      EXPECT_OK(state);
      state_ = *std::move(state);
      return LogOffset(state_->GetCheckpoint().flushed());
    };
    auto log = CommitLog::Open(options, RealFiles(), clock_);
    ASSERT_OK(log);
    log_ = *std::move(log);
    auto dispatcher = Dispatcher::Start({}, *log_, *state_);
    ASSERT_OK(dispatcher);
    dispatcher_ = *std::move(dispatcher);
  }

  void Close() {
    ASSERT_OK(dispatcher_->Stop());
    ASSERT_OK(log_->Close());
    dispatcher_.reset();
    log_.reset();
    state_.reset();
  }

  void WaitForDispatch() {
    ASSERT_OK(log_->FlushUpTo(log_->end()));
    while (dispatcher_->dispatched().Get() < log_->end()) {
      ASSERT_OK(dispatcher_->health());
      dispatcher_->dispatched().WaitAbove(dispatcher_->dispatched().Get(), milliseconds(100));
    }
  }

  LogOffset Append(RecordKind kind, std::string_view payload, uint32_t properties_offset = 0,
                   QueueKey queue = {}) {
    NewRecord record;
    record.kind = kind;
    record.payload = {&payload, 1};
    record.properties_offset = properties_offset;
    record.queue = queue;
    if (queue.topic.value() != 0) record.tail = &tails_[queue];
    auto appended = log_->AppendAndWait(record);
    EXPECT_OK(appended);
    return appended->log_offset;
  }

  LogOffset Send(QueueKey queue, const std::string& text) {
    const TestMessage message = MakeMessage(text, "tag" + text, "key" + text, "id" + text);
    return Append(RecordKind::kMessage, message.payload, message.properties_offset, queue);
  }

  void PutTopic(uint32_t id, const std::string& name) {
    storage::v1::ConfigChange change;
    change.mutable_put_topic()->set_id(id);
    change.mutable_put_topic()->set_name(name);
    change.mutable_put_topic()->set_queues(2);
    Append(RecordKind::kConfig, change.SerializeAsString());
  }

  void PutProgress(uint32_t group, QueueKey queue, uint64_t cursor,
                   const std::vector<uint64_t>& in_flight) {
    storage::v1::ProgressChanges changes;
    storage::v1::QueueProgress& progress = *changes.add_queues();
    progress.set_group_id(group);
    progress.set_topic_id(queue.topic.value());
    progress.set_queue(queue.queue);
    progress.set_cursor(cursor);
    uint64_t previous = 0;
    for (uint64_t offset : in_flight) {
      progress.add_offset_deltas(offset - previous);
      previous = offset;
      progress.add_attempts(1);
      progress.add_visible_at_ms(0);
      progress.add_lease_ids(offset);
    }
    Append(RecordKind::kProgress, changes.SerializeAsString());
  }

  // Everything that can be asked of the derived structures, as text.
  std::string Dump() {
    std::string dump;
    auto topics = state_->ListTopics();
    EXPECT_OK(topics);
    for (const auto& topic : *topics) dump += topic.ShortDebugString() + "\n";
    for (uint32_t group = 1; group <= 3; ++group) {
      auto progress = state_->ListProgress(GroupId(group));
      EXPECT_OK(progress);
      for (const auto& row : *progress) dump += row.ShortDebugString() + "\n";
    }
    for (uint32_t topic = 1; topic <= 4; ++topic) {
      for (uint32_t queue = 0; queue < 2; ++queue) dump += DumpQueue({TopicId(topic), queue});
    }
    return dump;
  }

  std::string DumpQueue(QueueKey queue) {
    const QueueBounds bounds = dispatcher_->queues().Bounds(queue);
    std::string dump =
        std::to_string(bounds.min.value()) + ".." + std::to_string(bounds.max.value());
    std::vector<IndexEntry> entries;
    EXPECT_OK(dispatcher_->queues().Read(queue, bounds.min, 100'000, entries));
    EXPECT_EQ(entries.size(), bounds.max - bounds.min);
    for (const IndexEntry& entry : entries) {
      dump += " " + std::to_string(entry.log_offset.value()) + "/" + std::to_string(entry.length) +
              "/" + std::to_string(entry.tag_hash);
    }
    return dump + "\n";
  }

  TempDir directory_;
  ManualClock clock_;
  std::map<QueueKey, QueueTailSlot> tails_;
  std::unique_ptr<StateStore> state_;
  std::unique_ptr<CommitLog> log_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

constexpr QueueKey kQueue{TopicId(1), 0};

TEST_F(DispatcherTest, IndexesWhatIsAppended) {
  Open();
  const LogOffset at = Send(kQueue, "1");
  Send(kQueue, "2");
  WaitForDispatch();
  EXPECT_EQ(dispatcher_->queues().Bounds(kQueue).max, QueueOffset(2));
  std::vector<IndexEntry> entries;
  ASSERT_OK(dispatcher_->queues().Read(kQueue, QueueOffset(0), 10, entries));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].log_offset, at);
  EXPECT_EQ(entries[0].tag_hash, TagHash("tag1"));
  EXPECT_EQ(dispatcher_->TakeChangedTopics(), std::vector<TopicId>{TopicId(1)});
  EXPECT_TRUE(dispatcher_->TakeChangedTopics().empty());
  EXPECT_THAT(dispatcher_->keys().FindByMessageId(TopicId(1), "id1", 10),
              IsOkAndHolds(std::vector<LogOffset>{at}));
  EXPECT_THAT(dispatcher_->keys().FindByKey(TopicId(1), "key1", 10),
              IsOkAndHolds(std::vector<LogOffset>{at}));
  EXPECT_THAT(dispatcher_->keys().FindByKey(TopicId(2), "key1", 10),
              IsOkAndHolds(std::vector<LogOffset>{}));
  EXPECT_THAT(dispatcher_->queues().Read(kQueue, QueueOffset(3), 1, entries),
              StatusIs(absl::StatusCode::kOutOfRange));
  Close();
}

TEST_F(DispatcherTest, FindsOffsetsByTime) {
  Open();
  for (int i = 0; i < 300; ++i) {
    Send(kQueue, std::to_string(i));
    clock_.Advance(milliseconds(10));
  }
  WaitForDispatch();
  const Timestamp start = clock_.Now() - milliseconds(3000);
  EXPECT_THAT(dispatcher_->queues().FindByTime(kQueue, start - hours(1)),
              IsOkAndHolds(QueueOffset(0)));
  EXPECT_THAT(dispatcher_->queues().FindByTime(kQueue, start + milliseconds(1001)),
              IsOkAndHolds(QueueOffset(101)));
  EXPECT_THAT(dispatcher_->queues().FindByTime(kQueue, clock_.Now()),
              IsOkAndHolds(QueueOffset(300)));
  Close();
}

TEST_F(DispatcherTest, AnythingIsTheSameAfterRestartAndRebuild) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  Open();
  for (int step = 0; step < 2000; ++step) {
    const QueueKey queue{TopicId(1 + random() % 3), static_cast<uint32_t>(random() % 2)};
    const uint64_t next = tails_[queue].next.value();
    switch (random() % 20) {
      case 0:
        PutTopic(1 + random() % 3, "topic" + std::to_string(step));
        break;
      case 1:
        PutProgress(1 + random() % 3, queue, next,
                    next > 2 ? std::vector<uint64_t>{1, next - 1} : std::vector<uint64_t>{});
        break;
      case 2: {
        storage::v1::Delivery letter;
        letter.set_origin_log_offset(Send(queue, std::to_string(step)).value());
        letter.set_origin_topic_id(queue.topic.value());
        letter.set_origin_queue(queue.queue);
        letter.set_origin_queue_offset(1);
        letter.set_group_id(1 + random() % 3);
        Append(RecordKind::kDelivery, letter.SerializeAsString(), 0, {TopicId(4), 0});
        break;
      }
      case 3:
        if (random() % 10 == 0) ASSERT_OK(dispatcher_->Checkpoint());
        break;
      case 4:
        if (random() % 20 == 0) ASSERT_OK(dispatcher_->Snapshot());
        break;
      default:
        Send(queue, std::to_string(step));
    }
  }
  WaitForDispatch();
  const std::string expected = Dump();
  Close();
  Open();
  EXPECT_EQ(Dump(), expected) << "after a restart";
  Send(kQueue, "more");
  WaitForDispatch();
  const std::string more = Dump();
  Close();
  std::filesystem::remove_all(directory_.path() + "/state");
  Open();
  EXPECT_EQ(Dump(), more) << "after RocksDB was deleted";
  const auto topics = state_->ListTopics();
  ASSERT_OK(topics);
  for (const auto& topic : *topics) {
    EXPECT_LT(topic.id(), dispatcher_->next_topic_id().value()) << "numbers are not given twice";
  }
  Close();
}

TEST_F(DispatcherTest, RetentionKeepsTheStateAndWhatIsPointedTo) {
  Open();
  PutTopic(1, "kept");
  const LogOffset origin = Send(kQueue, "dead");
  for (int i = 0; i < 2000; ++i) Send(kQueue, std::to_string(i));
  PutProgress(1, kQueue, 1500, {10, 1400});
  storage::v1::Delivery letter;
  letter.set_origin_log_offset(origin.value());
  const QueueKey dead{TopicId(4), 0};
  Append(RecordKind::kDelivery, letter.SerializeAsString(), 0, dead);
  clock_.Advance(hours(100));
  for (int i = 0; i < 2000; ++i) Send(kQueue, std::to_string(i));
  WaitForDispatch();
  RetentionOptions options;
  options.interval = hours(1);
  auto retention =
      Retention::Start(options, *log_, *dispatcher_, RealFiles(), directory_.path(), clock_);
  ASSERT_OK(retention->Step());
  retention->Stop();
  ASSERT_GT(log_->start(), origin);
  WaitForDispatch();
  // The dead letter's place now leads to a copy of the message.
  std::vector<IndexEntry> entries;
  ASSERT_OK(dispatcher_->queues().Read(dead, QueueOffset(0), 10, entries));
  ASSERT_EQ(entries.size(), 1u);
  auto moved = log_->Read(entries[0].log_offset);
  ASSERT_OK(moved);
  EXPECT_EQ(moved->header().flags & kFlagRelocated, kFlagRelocated);
  EXPECT_GT(dispatcher_->queues().Bounds(kQueue).min, QueueOffset(0));
  const std::string expected = Dump();
  Close();
  std::filesystem::remove_all(directory_.path() + "/state");
  Open();
  EXPECT_EQ(Dump(), expected) << "rebuilt from what the log still holds";
  Close();
}

TEST_F(DispatcherTest, AViewAheadOfTheLogIsRebuilt) {
  Open();
  for (int i = 0; i < 100; ++i) Send(kQueue, std::to_string(i));
  WaitForDispatch();
  Close();
  // The log lost its end although it had been flushed: an operator put an old file back.
  std::filesystem::remove_all(directory_.path() + "/log");
  std::filesystem::remove(directory_.path() + "/control");
  tails_.clear();
  Open();
  EXPECT_EQ(dispatcher_->queues().Bounds(kQueue).max, QueueOffset(0));
  Send(kQueue, "new");
  WaitForDispatch();
  EXPECT_EQ(dispatcher_->queues().Bounds(kQueue).max, QueueOffset(1));
  Close();
}

// More than may wait for the disk at a time (store/log/appender.cc).
TEST(SnapshotTest, OfALargeStateWaitsForTheDisk) {
  constexpr uint64_t kMayWait = 64u << 20;
  TempDir directory;
  ManualClock clock;
  ForgetfulFiles files(RealFiles());
  CommitLogOptions options;
  options.directory = directory.path();
  options.flush_mode = FlushMode::kSync;
  options.segment_size_bytes = 32u << 20;
  auto log = CommitLog::Open(options, files, clock);
  ASSERT_OK(log);
  auto state = StateStore::Open(directory.path() + "/state");
  ASSERT_OK(state);
  auto dispatcher = Dispatcher::Start({}, **log, **state);
  ASSERT_OK(dispatcher);
  for (uint32_t id = 1; id <= 80; ++id) {
    storage::v1::ConfigChange change;
    change.mutable_put_group()->set_id(id);
    change.mutable_put_group()->set_description(std::string(1u << 20, 'x'));
    const std::string bytes = change.SerializeAsString();
    const std::string_view payload = bytes;
    NewRecord record;
    record.kind = RecordKind::kConfig;
    record.payload = {&payload, 1};
    ASSERT_OK((*log)->AppendAndWait(record));
  }
  const LogOffset before = (*log)->end();
  while ((*dispatcher)->dispatched().Get() < before) {
    (*dispatcher)->dispatched().WaitAbove((*dispatcher)->dispatched().Get(), milliseconds(100));
  }
  ASSERT_OK((*dispatcher)->Checkpoint());
  files.HoldSyncs(true);
  auto snapshot = std::async(std::launch::async, [&] { return (*dispatcher)->Snapshot(); });
  while ((*log)->end() - before <= kMayWait &&
         snapshot.wait_for(milliseconds(1)) != std::future_status::ready) {
  }
  files.HoldSyncs(false);
  EXPECT_OK(snapshot.get());
  EXPECT_TRUE((*dispatcher)->snapshot().exists);
  EXPECT_OK((*dispatcher)->Stop());
  EXPECT_OK((*log)->Close());
}

}  // namespace
}  // namespace dunlin::store
