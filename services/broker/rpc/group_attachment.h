// GroupAttachment: messages of a topic leased to one member of a consumer group.

#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/container/flat_hash_map.h"

#include "services/base/mutex.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/rpc/attachment.h"

namespace dunlin::broker {

class GroupAttachment final : public Attachment {
 public:
  // The subscription table has entered the subscription, for a stream; this leaves it.
  GroupAttachment(ServiceContext& services, uint32_t binding, Subscription subscription,
                  uint32_t max_unsettled, std::function<void(Attachment&)> ready);
  ~GroupAttachment() override { LeaveSubscription(); }

  Produced NextFrame() override ABSL_LOCKS_EXCLUDED(mutex_);
  void Release() override ABSL_LOCKS_EXCLUDED(mutex_);
  GroupId competes() const override { return group_id_; }
  Outcome TryServe() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnTimeout() override { BecomeReady(); }

  // What a verdict came to; adds to `response` what the contract answers to it.
  void Settle(const v1::Verdict& verdict, v1::SubscribeResponse& response)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Place = std::pair<uint32_t, uint64_t>;  // queue, offset

  enum class Taking {
    kSome,      // there are some
    kNothing,   // nothing is there for the group
    kFull,      // no more may be leased
    kMore,      // nothing yet: a lot was passed over
    kHeldBack,  // the group's limits allow no more now
    kReleased,  // the binding is gone
  };
  // Leases more when there is room.
  Taking Take() ABSL_LOCKS_EXCLUDED(mutex_);
  // Those that waited for credit until their leases ended are no longer ours.
  void DropEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Note(TraceStep step, const ReceiptHandle& handle);
  void LeaveSubscription() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends or extends a lease as `verdict` says; `lease`: the new one of EXTEND.
  absl::Status Obey(const v1::Verdict& verdict, const ReceiptHandle& handle, uint64_t& lease)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // As it is now: the group may have changed since the stream was opened.
  void RefreshGroup();

  Subscription subscription_;
  const GroupId group_id_;
  const uint32_t client_;  // in the trace
  const uint32_t max_unsettled_;

  Mutex mutex_;
  std::deque<Delivered> taken_ ABSL_GUARDED_BY(mutex_);  // leased, not yet in a frame
  absl::flat_hash_map<Place, ReceiptHandle> unsettled_ ABSL_GUARDED_BY(mutex_);
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
  bool entered_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace dunlin::broker
