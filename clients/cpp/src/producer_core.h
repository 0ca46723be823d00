// ProducerCore: topics, the choice of queues, and the bound on what is not answered yet.
//
// How many queues a topic has it learns from the broker's answer to a first binding, which may have
// to make the topic, and from then on from the routes.

#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "clients/cpp/src/publish_stream.h"
#include "services/base/strings.h"

namespace dunlin::internal {

// The queues of a topic, by number; null: not used yet.
using Lanes = std::vector<std::atomic<Lane*>>;

struct Topic {
  std::string name;
  // Never null; replaced when the topic turns out to have another number of queues. Old ones are
  // kept.
  std::atomic<Lanes*> lanes{nullptr};
  std::atomic<bool> known{false};  // how many queues there are
  std::atomic<uint32_t> current{0};
  // Under the core's lock.
  std::vector<std::unique_ptr<Lanes>> tables;
  std::vector<Lane*> made;  // of every queue that there ever was; null: not used yet
  uint32_t id = 0;          // as a binding or the route said; 0: neither has
  int refusals = 0;         // of a binding
  absl::Status refusal;
};

class ProducerCore final : public PublishHost, public RouteListener {
 public:
  ProducerCore(const std::shared_ptr<Connection>& connection, const ProducerOptions& options);
  ~ProducerCore() override;

  absl::Status Submit(const Message& message, Producer::Callback* callback);
  absl::Status Flush(std::chrono::milliseconds timeout);
  absl::Status Close(std::chrono::milliseconds timeout);
  size_t pending_bytes() const { return pending_bytes_.load(std::memory_order_relaxed); }
  const ProducerOptions& options() const { return options_; }

  void OnOutcomes(Outcomes outcomes) override;
  void OnTopic(Topic& topic, const absl::StatusOr<BoundTopic>& answer) override;
  void MoveOn(const Lane& lane, SteadyTime now) override;
  void OnRoute(const std::string& name, const Route& route) override;

 private:
  Topic& FindTopic(const std::string& name);
  void SetQueues(Topic& topic, uint32_t queues) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How many queues take messages. Fewer than before only when somebody said so (`fewer`), or if it
  // is another topic of the name (by `id`; 0: not known).
  void Learn(Topic& topic, uint32_t id, uint32_t queues, bool fewer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Lane*> ChooseLane(Topic& topic, const Message& message);
  // A queue of the topic, made at its first use: there may be very many.
  Lane& LaneOf(Topic& topic, const Lanes& lanes, uint32_t queue) {
    Lane* const lane = lanes[queue].load(std::memory_order_acquire);
    return lane != nullptr ? *lane : MakeLane(topic, queue);
  }
  Lane& MakeLane(Topic& topic, uint32_t queue) ABSL_LOCKS_EXCLUDED(mutex_);
  PublishStream& AddStream(std::shared_ptr<Connection> connection)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // They come and never go.
  std::vector<PublishStream*> Streams() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status AwaitKnown(Topic& topic);
  absl::Status Reserve(size_t bytes);
  absl::Status AwaitRoom(size_t bytes);
  bool AwaitPending(size_t at_most, SteadyTime deadline);
  // What was reserved is not used; somebody may have seen it meanwhile, and wait for its end.
  void GiveBack(size_t bytes);
  void SignalPending();

  const ProducerOptions options_;
  const std::shared_ptr<Connection> connection_;
  const PublishStream::Settings settings_;
  std::atomic<size_t> pending_bytes_{0};
  std::atomic<bool> closed_{false};
  std::atomic<Topic*> last_topic_{nullptr};
  std::atomic<int> waiting_{0};

  Mutex mutex_;
  CondVar changed_;  // pending_bytes_ fell, a topic became known or was refused
  // As many as the options say, then those that take what these have no room for.
  std::vector<std::unique_ptr<PublishStream>> streams_ ABSL_GUARDED_BY(mutex_);
  StringMap<std::unique_ptr<Topic>> topics_ ABSL_GUARDED_BY(mutex_);
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::internal
