// GroupCore: a member of a consumer group, at all brokers that hold its topics: subscriptions,
// leased messages, verdicts.
//
// What waits in the buffer until most of its lease is over is given back, so that others may have
// it and the attempt does not count.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "dunlin/filter.h"
#include "dunlin/group_options.h"

#include "clients/cpp/src/subscribe_streams.h"

namespace dunlin::internal {

class GroupCore final : public SubscribeHost, public RouteListener, public Ticking {
 public:
  using Outcome = dunlin::broker::v1::Verdict::Outcome;

  GroupCore(const std::shared_ptr<Connection>& connection, const GroupOptions& options);
  ~GroupCore() override;

  absl::Status Subscribe(std::string_view topic, const Filter& filter);
  absl::Status Unsubscribe(std::string_view topic);
  // Up to `max` messages, none after `timeout`.
  absl::StatusOr<std::vector<ReceivedMessage>> Take(size_t max, std::chrono::milliseconds timeout);
  absl::Status Settle(const ReceivedMessage& message, Outcome outcome,
                      std::chrono::milliseconds delay);
  // Waits for the answer.
  absl::Status Extend(const ReceivedMessage& message, std::chrono::milliseconds duration);
  // Does not. False: the last extension of one is not answered yet, ask again.
  bool ExtendAll(std::span<const ReceivedMessage> messages, std::chrono::milliseconds duration);
  uint64_t late_settlements();
  // Leases that it keeps, since they are not those that the messages came with.
  size_t extended_leases();
  // The broker wants nothing to do with this consumer: Take will say nothing else any more.
  bool rejected();
  // Take returns FAILED_PRECONDITION from now on; what was taken may still be settled.
  void Stop();
  void Close();

  void OnAttached(const dunlin::broker::v1::Attached& attached) override;
  void OnDetached(const dunlin::broker::v1::Detached& detached) override;
  void OnSettled(const dunlin::broker::v1::Settled& settled) override;
  void OnFrame(SubscribeStream& stream, std::shared_ptr<ReceivedFrame> frame) override;
  std::vector<dunlin::broker::v1::Attach> Attachments(SubscribeStream& stream) override;
  void OnRejected(SubscribeStream& stream, const absl::Status& status) override;
  void OnTrouble() override { connection_->routes().Doubt(); }
  void OnRoute(const std::string& topic, const Route& route) override;
  void Tick(SteadyTime now) override;

 private:
  // A topic at one broker.
  struct Attachment {
    uint32_t binding = 0;
    SubscribeStream* stream = nullptr;
    std::shared_ptr<FrameSource> source;
    bool is_there = true;  // the route names the broker
    bool answered = false;
    absl::Status status;
  };
  struct Subscription {
    uint64_t number = 0;  // tells it from others of the topic
    Filter filter;
    bool is_routed = false;
    absl::Status unroutable;                    // why there is no route
    bool is_answered = false;                   // Subscribe was
    std::map<std::string, Attachment> brokers;  // by name
  };
  static constexpr size_t kFewExtended = 1024;
  // A frame of which some messages are not taken yet.
  struct Buffered {
    std::shared_ptr<ReceivedFrame> frame;
    size_t next = 0;
  };
  // Binding, queue, offset.
  using Place = std::tuple<uint32_t, uint32_t, uint64_t>;
  // One delivery of a message: its place, and the lease that it came with.
  using Delivery = std::pair<Place, uint64_t>;
  struct Settlement {
    Outcome outcome;
    std::chrono::milliseconds delay;
  };
  // What a delivery that was extended has now.
  struct Lease {
    std::optional<uint64_t> lease;  // nullopt: it ended
    SteadyTime until;               // of no use to know afterwards
  };
  // That is under way, or was just answered.
  struct Extension {
    Delivery delivery;
    std::chrono::milliseconds duration{};
    bool awaited = false;  // by a thread, which takes it out
    bool answered = false;
    absl::Status status;
    // Said meanwhile; waits, since the lease it is about is known when the extension is answered.
    std::optional<Settlement> then;
  };

  dunlin::broker::v1::Attach MakeAttach(const Subscription& subscription,
                                        const Attachment& attachment) const;
  absl::Status Await(const std::string& topic, uint64_t number)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the brokers said to a subscription; nullopt: they have not said enough.
  std::optional<absl::Status> AnswerTo(const Subscription& subscription) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Attachment* Find(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lets go of a topic at one broker, for a reason that is told; of the last one: the subscription.
  void Drop(uint32_t binding, const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets what is buffered of it, too.
  void DropBinding(uint32_t binding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(const std::string& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Calls are made again only to brokers that a route names.
  void WantStreams() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReturnCredit(const ReceivedFrame& frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsOf(const SubscribeStream& stream, uint32_t binding) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeBuffered(size_t max, std::vector<ReceivedMessage>& messages)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleaseBuffered(const Buffered& buffered) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  SteadyTime ReleaseTimeOf(const Buffered& buffered) const;
  static Delivery DeliveryOf(const MessageView& message);
  // Says what becomes of a message, with the lease that it has now.
  void Say(const Delivery& delivery, const Settlement& settlement)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Known to be over: no use to extend it.
  bool HasEnded(const Delivery& delivery) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False: the last one is not answered yet.
  bool BeginExtension(const Delivery& delivery, std::chrono::milliseconds duration, bool awaited)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `lease`: the new one; nullopt: it had ended.
  void EndExtension(Extension& extension, std::optional<uint64_t> lease)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leases that nobody settled have ended: the broker says so, too.
  void ForgetEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsSettling() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const GroupOptions options_;
  const std::shared_ptr<Connection> connection_;

  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  uint32_t last_binding_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  SubscribeStreams streams_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Subscription> subscriptions_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, SubscribeStream*> bindings_ ABSL_GUARDED_BY(mutex_);
  std::deque<Buffered> frames_ ABSL_GUARDED_BY(mutex_);
  SteadyTime wake_at_ ABSL_GUARDED_BY(mutex_) = SteadyTime::max();
  std::map<Place, Extension> extensions_ ABSL_GUARDED_BY(mutex_);
  // Deliveries that were extended and not settled.
  std::map<Delivery, Lease> extended_ ABSL_GUARDED_BY(mutex_);
  size_t forget_at_ ABSL_GUARDED_BY(mutex_) = kFewExtended;  // so many of them
  uint64_t late_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<absl::Status> errors_ ABSL_GUARDED_BY(mutex_);
  absl::Status rejected_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::internal
