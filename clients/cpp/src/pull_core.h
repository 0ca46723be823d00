// PullCore: which queues are read, how far, and the frames that wait to be polled.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dunlin/pull_consumer.h"

#include "clients/cpp/src/subscribe_stream.h"

namespace dunlin::internal {

class PullCore final : public SubscribeHost, public RouteListener {
 public:
  PullCore(const std::shared_ptr<Connection>& connection, const PullConsumerOptions& options);
  ~PullCore() override;

  absl::StatusOr<QueueBounds> Assign(std::string_view topic, uint32_t queue, StartAt start,
                                     const Filter& filter);
  // All queues that there are, and those that come.
  absl::StatusOr<uint32_t> AssignAll(std::string_view topic, StartAt start, const Filter& filter);
  absl::Status Unassign(std::string_view topic, uint32_t queue);
  absl::StatusOr<QueueBounds> Seek(std::string_view topic, uint32_t queue, StartAt start);
  absl::StatusOr<MessageBatch> Poll(std::chrono::milliseconds timeout);
  absl::StatusOr<uint64_t> Position(std::string_view topic, uint32_t queue);
  absl::Status Commit(std::string_view topic, uint32_t queue, uint64_t offset);
  void Close();

  void OnAttached(const dunlin::broker::v1::Attached& attached) override;
  void OnDetached(const dunlin::broker::v1::Detached& detached) override;
  void OnSettled(const dunlin::broker::v1::Settled& /*settled*/) override {}
  void OnFrame(std::shared_ptr<ReceivedFrame> frame) override;
  std::vector<dunlin::broker::v1::Attach> Attachments() override;
  void OnRejected(const absl::Status& status) override;
  void OnRoute(const std::string& topic, const Route& route) override;

 private:
  // A queue from some position on. Every new position is a binding of its own, so that frames from
  // before it are known by theirs.
  struct Assignment {
    Assignment(Filter filter_of, StartAt start_of)
        : filter(std::move(filter_of)), start(start_of) {}
    Filter filter;
    StartAt start;
    std::shared_ptr<FrameSource> source;
    uint32_t binding = 0;
    uint64_t received = 0;  // everything below was received, if `known`
    uint64_t polled = 0;    // everything below was polled, if `known`
    uint64_t end = 0;       // of the queue, as far as it was told
    bool known = false;
    bool answered = false;  // `bounds` or `status` is the answer to the first attach
    bool awaited = true;    // somebody waits for that answer
    absl::Status status;
    QueueBounds bounds;
    std::optional<uint64_t> damaged;  // the offset of a message that came damaged once
  };
  using Key = std::pair<std::string, uint32_t>;
  // A topic of which all queues are read.
  struct Followed {
    Filter filter;
    StartAt start;        // in queues that come
    uint32_t queues = 0;  // that are assigned, or were
    uint32_t topic_id = 0;
  };

  dunlin::broker::v1::Attach MakeAttach(const Assignment& assignment) const;
  // Assigns a queue without waiting for the answer.
  Assignment& Begin(const Key& key, const Filter& filter, StartAt start)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives the assignment a new binding; what is buffered of the old one is dropped.
  void Rebind(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<QueueBounds> Await(const Key& key, uint32_t binding)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Assigns queues 1 .. queues - 1 like queue 0, which is assigned; all at a time. On an error what
  // it began is undone.
  absl::Status AssignOthers(const Key& first, uint32_t queues, StartAt start, const Filter& filter)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Assignment* Find(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reading cannot go on where it was; tries the oldest message. False: it is not to.
  bool SkipExpired(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Report(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<ReceivedFrame> Take(SteadyTime deadline, absl::Status& error);
  absl::StatusOr<bool> Accept(ReceivedFrame& frame, bool intact);
  void RestartAt(Assignment& assignment, uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PullConsumerOptions options_;
  const std::unique_ptr<SubscribeStream> stream_;

  Mutex mutex_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  uint32_t last_binding_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<Key, Assignment> assignments_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, Key> bindings_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Followed> followed_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<ReceivedFrame>> frames_ ABSL_GUARDED_BY(mutex_);
  std::deque<absl::Status> errors_ ABSL_GUARDED_BY(mutex_);
  // Calls that the broker wanted nothing to do with: what is still to be told, how many there were.
  absl::Status rejected_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_rejection_ ABSL_GUARDED_BY(mutex_);
  uint64_t rejections_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::internal
