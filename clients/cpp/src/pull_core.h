// PullCore: which queues of which brokers are read, how far, and the frames that wait to be polled.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "dunlin/pull_consumer.h"

#include "clients/cpp/src/subscribe_streams.h"

namespace dunlin::internal {

class PullCore final : public SubscribeHost, public RouteListener, public Ticking {
 public:
  PullCore(const std::shared_ptr<Connection>& connection, const PullConsumerOptions& options);
  ~PullCore() override;

  // A queue of a topic. Without a broker: of the only one that can be meant.
  struct Name {
    std::string_view topic;
    uint32_t queue = 0;
    std::string_view broker;
  };
  absl::StatusOr<QueueBounds> Assign(const Name& name, StartAt start, const Filter& filter);
  // All queues that there are, and those that come.
  absl::StatusOr<uint32_t> AssignAll(std::string_view topic, StartAt start, const Filter& filter);
  absl::Status Unassign(const Name& name);
  absl::StatusOr<QueueBounds> Seek(const Name& name, StartAt start);
  absl::StatusOr<MessageBatch> Poll(std::chrono::milliseconds timeout);
  absl::StatusOr<uint64_t> Position(const Name& name);
  absl::Status Commit(const Name& name, uint64_t offset);
  // A broker has refused a call for who made it.
  bool IsTurnedAway() ABSL_LOCKS_EXCLUDED(mutex_);
  void Close();

  void OnAttached(const dunlin::broker::v1::Attached& attached) override;
  void OnDetached(const dunlin::broker::v1::Detached& detached) override;
  void OnSettled(const dunlin::broker::v1::Settled& /*settled*/) override {}
  void OnFrame(SubscribeStream& stream, std::shared_ptr<ReceivedFrame> frame) override;
  std::vector<dunlin::broker::v1::Attach> Attachments(SubscribeStream& stream) override;
  void OnBroken(SubscribeStream& stream) override;
  void OnRejected(SubscribeStream& stream, const absl::Status& status) override;
  void OnTrouble() override { connection_->routes().Doubt(); }
  void OnRoute(const std::string& topic, const Route& route) override;
  // Looks after the slaves.
  void Tick(SteadyTime now) override;

 private:
  // A queue from some position on. Every new position is a binding of its own, so that frames from
  // before it are known by theirs.
  struct Assignment {
    Assignment(SubscribeStream& master_of, Filter filter_of, StartAt start_of)
        : master(master_of), filter(std::move(filter_of)), start(start_of) {}
    SubscribeStream& stream() const { return slave != nullptr ? *slave : master; }
    SubscribeStream& master;
    SubscribeStream* slave = nullptr;  // where it is read; null: at the master
    uint32_t commit_binding = 0;       // at the master, while it is read at a slave
    SteadyTime stays_until{};          // at the master, whatever that says
    SteadyTime heard_at{};             // when the slave brought something, or could not
    Filter filter;
    StartAt start;
    std::shared_ptr<FrameSource> source;
    uint32_t binding = 0;
    uint32_t asked = 0;     // the binding that somebody waits for to be answered
    uint64_t received = 0;  // everything below was received, if `known`
    // Everything below was taken by those who poll, or is accepted already. It comes from nowhere
    // else any more: where it is read may change while they look at it.
    uint64_t taken = 0;
    uint64_t polled = 0;     // everything below was polled, if `known`
    uint32_t position = 0;   // how often reading began elsewhere: frames of before are dropped
    bool read_only = false;  // who is taken for its master is a slave that stands in
    uint64_t end = 0;        // of the queue, as far as it was told
    bool known = false;
    bool answered = false;  // `bounds` or `status` is the answer to the first attach
    bool awaited = true;    // somebody waits for that answer
    absl::Status status;
    QueueBounds bounds;
    std::optional<uint64_t> damaged;  // the offset of a message that came damaged once
  };
  // What was committed before a queue was given up, and its master has not got yet.
  struct OwedCommit {
    SubscribeStream& master;
    Filter filter;
    std::shared_ptr<const FrameSource> source;
  };
  // Topic, broker, queue.
  using Key = std::tuple<std::string, std::string, uint32_t>;
  using Assignments = std::map<Key, Assignment>;
  // Queues of a topic at one broker that are assigned, or were.
  struct Seen {
    uint32_t queues = 0;
    uint32_t topic_id = 0;
  };
  // A topic of which all queues are read.
  struct Followed {
    Filter filter;
    StartAt start;                     // in queues that come
    std::map<std::string, Seen> seen;  // by broker
  };
  // A topic that is read, or is going to be.
  struct Known {
    bool is_routed = false;
    Route route;
    int users = 0;  // that are about to assign queues of it
  };
  struct Buffered {
    SubscribeStream* stream = nullptr;
    std::shared_ptr<ReceivedFrame> frame;
    uint32_t position = 0;  // of the assignment, when it was taken
  };

  static absl::Status Closed();
  static absl::Status AssignedAnew();
  static absl::Status AlreadyAssigned(std::string_view topic, uint32_t queue);
  dunlin::broker::v1::Attach MakeAttach(const Assignment& assignment) const;
  dunlin::broker::v1::Attach MakeCommitAttach(uint32_t binding, const FrameSource& source,
                                              const Filter& filter) const;
  // Commits at the master as soon as it can be reached, by a binding of its own.
  void Owe(const Assignment& assignment, uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The answer to that binding.
  void OnOwedAttached(const dunlin::broker::v1::Attached& attached)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndOwed(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The queue is assigned anew, and commits by itself.
  void ForgetOwed(const FrameSource& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same topic, not another one of its name.
  static bool IsSameTopic(const FrameSource& source, const dunlin::broker::v1::Attached& attached);
  // The broker has no room for it, or is not ready to serve it, for now.
  static bool Passes(apache::rocketmq::v2::Code code);
  // Waits until it is known where the topic is, and keeps that until EndUse.
  absl::StatusOr<Route> AwaitRoute(const std::string& topic) ABSL_LOCKS_EXCLUDED(mutex_);
  void EndUse(const std::string& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // No use to know where it is, if none of its queues is assigned.
  void LeaveIfUnused(const std::string& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A route names its broker.
  bool IsNamed(const FrameSource& source) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Queues of it at the broker are assigned, or have commits to be sent.
  bool IsUsed(const std::string& topic, const std::string& broker) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Calls that queues are read or committed by, at brokers that a route names.
  std::set<const SubscribeStream*> WantedStreams() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Only those are made again.
  void WantStreams() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Assignments::iterator> FindNamed(const Name& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Assigns a queue without waiting for the answer.
  Assignment& Begin(const Key& key, const BrokerRoute& broker, const Filter& filter, StartAt start)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Assigns what a route has and was not seen.
  void AssignNew(const std::string& topic, const Route& route, Followed& followed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives the assignment a new binding.
  void Bind(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends a binding; what is buffered of it is dropped.
  void Unbind(SubscribeStream& stream, uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Rebind(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reads on at a slave, if there is one to read from. What was not polled comes from there.
  bool GoToSlave(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reads on at the master, and stays there for a while.
  void GoToMaster(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same, before WantStreams: for many at a time.
  void LeaveSlave(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A slave that answers to take part: it has what comes next.
  static bool IsServed(const Assignment& assignment, const dunlin::broker::v1::Attached& attached);
  // Slaves that bring nothing although they have something to bring, by what they said.
  void LeaveSilentSlaves(SteadyTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WatchSlaves(SteadyTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The slave of the assignment is still one, by the route.
  bool IsSlave(const Assignment& assignment, const BrokerRoute& broker) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveFormerSlaves(const std::string& topic, const Route& route)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `asked` as in the assignment.
  absl::StatusOr<QueueBounds> Await(const Key& key, uint32_t asked)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  using Sources = std::vector<std::shared_ptr<FrameSource>>;
  // Begins all queues of the route.
  absl::Status BeginAll(const std::string& topic, const Route& route, StartAt start,
                        const Filter& filter, Sources& begun) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits for the answers to what began; it is known by its source: a queue may be assigned anew
  // meanwhile.
  absl::Status AwaitAll(const Sources& begun) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Undo(const Sources& begun) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static Key KeyOf(const FrameSource& source) {
    return {source.topic, source.broker, source.queue};
  }
  Assignment* Find(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reading cannot go on where it was; tries the oldest message. False: it is not to.
  bool SkipExpired(Assignment& assignment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Report(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Buffered Take(SteadyTime deadline, absl::Status& error);
  // Calls that were rejected are made again.
  void StartStreams() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of a frame that was taken; false: there is nothing in it, or it was sought or unassigned
  // meanwhile.
  absl::StatusOr<bool> Accept(const Buffered& taken, bool intact);
  // Null: it is not assigned any more, or not as it was when the frame was taken.
  Assignment* FindTaken(const Buffered& taken) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RestartAt(Assignment& assignment, uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PullConsumerOptions options_;
  const std::shared_ptr<Connection> connection_;

  Mutex mutex_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  uint32_t last_binding_ ABSL_GUARDED_BY(mutex_) = 0;
  SubscribeStreams streams_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Known> topics_ ABSL_GUARDED_BY(mutex_);
  Assignments assignments_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, Key> bindings_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Followed> followed_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, OwedCommit> owed_ ABSL_GUARDED_BY(mutex_);  // by binding
  std::deque<Buffered> frames_ ABSL_GUARDED_BY(mutex_);
  std::deque<absl::Status> errors_ ABSL_GUARDED_BY(mutex_);
  // Calls that the broker wanted nothing to do with: what is still to be told, how many there were.
  absl::Status rejected_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_rejection_ ABSL_GUARDED_BY(mutex_);
  uint64_t rejections_ ABSL_GUARDED_BY(mutex_) = 0;
  bool must_start_ ABSL_GUARDED_BY(mutex_) = false;  // some call was rejected
  bool watching_ ABSL_GUARDED_BY(mutex_) = false;    // a Tick is to come
};

}  // namespace dunlin::internal
