// ProducerCore: topics, the brokers that hold them, the choice of queues, and the bound on what is
// not answered yet.
//
// Where a topic is it learns from the routes. When these know no such topic, the server at the
// access point is asked, which may be a broker that makes it. How many queues there are is also
// learnt from the answers to bindings.

#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "clients/cpp/src/lane_table.h"
#include "clients/cpp/src/publish_stream.h"
#include "services/base/strings.h"

namespace dunlin::internal {

// A broker that is sent to. They come and never go.
struct Target {
  std::string name;      // empty: the server at the access point, until a route names it
  std::string endpoint;  // where it is served
  PublishStream::Settings settings;
  // As many as the options say, then those that take what these have no room for.
  std::vector<std::unique_ptr<PublishStream>> streams;
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
  void OnTopic(const Lane& lane, const absl::StatusOr<BoundTopic>& answer) override;
  void MoveOn(const Lane& lane, SteadyTime now) override;
  void OnTrouble(PublishStream& stream) override;
  bool HasRefuge(const Lane& lane, SteadyTime now) override;
  void OnRoute(const std::string& name, const Route& route) override;

 private:
  Topic& FindTopic(const std::string& name);
  Target& TargetOf(const BrokerRoute& route) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static TopicAt& AtOf(Topic& topic, Target& target);
  // What the route says of the topic at one broker.
  static void Learn(TopicAt& at, const BrokerRoute& route);
  void TakeRoute(Topic& topic, const Route& route) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes what is known of the topic's brokers its table.
  void Publish(Topic& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::StatusOr<Lane*> ChooseLane(Topic& topic, const Message& message);
  // The number of the queue in the table, for a message that does not go to any.
  absl::StatusOr<uint32_t> ChoosePlace(Topic& topic, const LaneTable& table,
                                       const Message& message);
  // A queue of the topic, made at its first use: there may be very many.
  Lane& LaneOf(const LaneTable& table, uint32_t place) {
    Lane* const lane = table.lanes[place].load(std::memory_order_acquire);
    return lane != nullptr ? *lane : MakeLane(table, place);
  }
  Lane& MakeLane(const LaneTable& table, uint32_t place) ABSL_LOCKS_EXCLUDED(mutex_);
  Lane* AddLane(TopicAt& at, uint32_t queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PublishStream& AddStream(Target& target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of the target; null: of all.
  std::vector<PublishStream*> Streams(const Target* target) ABSL_LOCKS_EXCLUDED(mutex_);
  // A queue at another broker that is not in trouble, if there is one. Takes no lock.
  static std::optional<uint32_t> RefugeOf(const LaneTable& table, const Lane& lane, SteadyTime now);
  // Waits until it is known where the topic is.
  absl::Status AwaitTable(Topic& topic);
  // Asks the server at the access point for a topic that no route knows.
  void AskAccessPoint(Topic& topic) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Reserve(size_t bytes);
  absl::Status AwaitRoom(size_t bytes);
  bool AwaitPending(size_t at_most, SteadyTime deadline);
  // What was reserved is not used; somebody may have seen it meanwhile, and wait for its end.
  void GiveBack(size_t bytes);
  void SignalPending();

  const ProducerOptions options_;
  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<BufferPool> pool_;
  std::atomic<size_t> pending_bytes_{0};
  std::atomic<bool> closed_{false};
  std::atomic<Topic*> last_topic_{nullptr};
  std::atomic<int> waiting_{0};

  Mutex mutex_;
  CondVar changed_;  // pending_bytes_ fell, a topic became known or was refused
  std::vector<std::unique_ptr<Target>> targets_ ABSL_GUARDED_BY(mutex_);
  StringMap<std::unique_ptr<Topic>> topics_ ABSL_GUARDED_BY(mutex_);
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::internal
