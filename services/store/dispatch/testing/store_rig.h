// StoreRig: a log, its view and the dispatcher in a directory of the test, on a clock that stands.
//
// Failures of the rig itself end the test process: a test that goes on after one proves nothing.

#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/strong_int.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/index/timer.h"
#include "services/store/index/transaction.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/record.h"
#include "services/store/retention/retention.h"
#include "services/store/state/state_store.h"

namespace dunlin::store {

// The payload of a MESSAGE record, and where its properties begin.
struct TestMessage {
  std::string payload;
  uint32_t properties_offset = 0;
};
TestMessage MakeMessage(std::string_view body, std::string_view tag,
                        const std::vector<std::string>& keys, std::string_view message_id);

class StoreRig {
 public:
  // Checkpoints only when the test asks for one.
  explicit StoreRig(uint64_t segment_size_bytes = 64u << 10);
  ~StoreRig();

  // Stands between every log that is opened from now on and its users; for tests that hold it up.
  using Wrap = std::function<std::unique_ptr<CommitLog>(std::unique_ptr<CommitLog>)>;
  void WrapLog(Wrap wrap) { wrap_log_ = std::move(wrap); }

  // The log, then the state, then the dispatcher; and back.
  void Open();
  void Close();
  // As a killed process leaves it: no checkpoint, nothing applied any more.
  void Crash();
  // Lets go of a dispatcher that has failed.
  void Abandon();
  void OpenLog();
  // Somebody else writes it: a LogMirror of this directory.
  void FollowLog();
  void CloseLog();
  absl::Status StartDispatcher();
  // Keeps the log.
  void StopDispatcher();

  Appended Send(QueueKey queue, std::string_view tag = "",
                const std::vector<std::string>& keys = {}, std::string_view message_id = "",
                std::string_view body = "body");
  // The next `count` messages of the queue, from `first_sequence` on, are a producer's.
  Appended AnnounceProducer(uint64_t producer, QueueKey queue, uint64_t first_sequence,
                            uint32_t count);
  void PutTopic(TopicId id, bool compacted = false);
  void DeleteTopic(TopicId id);
  void PutGroup(GroupId id);
  void DeleteGroup(GroupId id);
  void PutUser(const std::string& name, const std::string& secret);
  void DeleteUser(const std::string& name);
  void PutLiteTopic(QueueKey queue, const std::string& name);
  // Forgets the progress of the groups given. Its number may be given again: the next message
  // there has offset 0.
  void RemoveLiteTopic(QueueKey queue, const std::vector<GroupId>& groups);
  // In flight: the offsets given.
  void PutProgress(GroupId group, QueueKey queue, uint64_t cursor,
                   const std::vector<uint64_t>& in_flight);
  Appended BuryLetter(GroupId group, QueueKey origin, const Appended& message, QueueKey into);
  // A message that waits for `due`; and the three ways in which a timer goes on.
  Timer Park(QueueKey queue, Timestamp due, std::string_view tag = "",
             const std::vector<std::string>& keys = {}, std::string_view body = "body");
  Appended DeliverTimer(const Timer& timer);
  void RecallTimer(TimerKey key);
  // A half message that is to be checked at `check`; and what becomes of it.
  Transaction Prepare(QueueKey queue, Timestamp check, std::string_view tag = "",
                      const std::vector<std::string>& keys = {}, std::string_view body = "body");
  Appended Resolve(const Transaction& half, TransactionState state);
  // As `half` says.
  void CheckTransaction(const Transaction& half);
  // Beside a relocation the dispatcher is to be asked for it.
  void Trim(QueueKey queue, uint64_t offset);
  // Fills the log until it has come `bytes` further.
  void Fill(QueueKey queue, uint64_t bytes);

  // Returns when everything appended is in the view.
  void Settle();
  // One round of retention that keeps `bytes` of log at most.
  absl::Status Expire(uint64_t bytes);

  // As it stands in the log; for tests that write a snapshot by hand.
  Appended AppendRecord(RecordKind kind, std::string_view payload);

  // For records that a test appends by itself.
  QueueTailSlot* TailOf(QueueKey queue);

  // Everything the view says, in words; two views are the same when these are. DATA_LOSS when the
  // view says that it is damaged.
  absl::StatusOr<std::map<std::string, std::string>> Describe(const std::vector<QueueKey>& queues,
                                                              const std::vector<std::string>& keys);

  CommitLog& log() { return *log_; }
  StateStore& state() { return *state_; }
  Dispatcher& dispatcher() { return *dispatcher_; }
  ManualClock& clock() { return clock_; }
  std::string directory() const { return directory_.path(); }
  std::string state_directory() const { return directory_.path() + "/state"; }

 private:
  Appended Append(NewRecord record, std::string_view payload);
  absl::Status DescribeTransactions(const std::vector<QueueKey>& queues,
                                    std::map<std::string, std::string>& words);
  absl::Status DescribeTimers(const std::vector<QueueKey>& queues,
                              std::map<std::string, std::string>& words);
  void AppendChange(const storage::v1::ConfigChange& change);

  const uint64_t segment_size_bytes_;
  TempDir directory_;
  ManualClock clock_;
  std::map<QueueKey, std::unique_ptr<QueueTailSlot>> tails_;
  Wrap wrap_log_;
  std::unique_ptr<CommitLog> log_;
  std::unique_ptr<StateStore> state_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

}  // namespace dunlin::store
