// LiteDelivery: messages of lightweight topics on their way to their subscribers, and the end of
// lightweight topics that nobody uses any more.
//
// What happens to a lightweight topic goes into the lists of those who want it
// (lite/lite_subscriptions.h); a receive looks into what is on the list of its client. Whoever
// comes first (a receive, the thread of the waiting room, the housekeeper) sorts what has happened
// since; clients that have something new are told by the waiting room, which asks TakeTold().
//
// Thread-safe; no lock is held while another room is called. Step() belongs to one thread, that of
// the housekeeper.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/lite/lite_subscriptions.h"
#include "services/broker/lite/lite_table.h"
#include "services/broker/progress/progress.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

class LiteDelivery {
 public:
  // All outlive it.
  struct Rooms {
    store::CommitLog& log;
    store::Dispatcher& dispatcher;
    const TopicTable& topics;
    Progress& progress;
    Taker& taker;
    LiteTable& table;
    LiteSubscriptions& subscriptions;
    const Clock& clock;
  };
  explicit LiteDelivery(const Rooms& rooms) : rooms_(rooms) {}

  LiteTable& table() { return rooms_.table; }
  LiteSubscriptions& subscriptions() { return rooms_.subscriptions; }

  // Messages for `subscription.client_id`. Changes nothing of `subscription`.
  Taker::Taken Take(Subscription& subscription) ABSL_LOCKS_EXCLUDED(mutex_);

  // As LiteSubscriptions::Apply. What is in lightweight topics that are subscribed to now is
  // delivered. Not empty, `prepare` is called before with each that is named and exists, whether it
  // was subscribed to already or not.
  absl::StatusOr<LiteSubscriptions::Outcome> Subscribe(
      const LiteSubscriptions::Change& change, const std::function<void(const LiteTopic&)>& prepare)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Places of clients that have something new since the last call.
  std::vector<LitePlace> TakeTold() ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether somebody was told of such since then.
  bool HasTold() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Sorts what has happened, forgets progress that is saved, removes some of the lightweight topics
  // that were idle for too long. May read from disk.
  void Step() ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the group has messages there that are not done. One that never consumed from it has
  // when a client of it subscribes to it. True when that cannot be read.
  bool Lags(const Group& group, const LiteTopic& topic) const;
  // When the last message was stored there, or it was made.
  Timestamp LastUse(const LiteTopic& topic) const;

 private:
  class Ready;

  using Groups = std::vector<std::shared_ptr<const Group>>;

  // Marks what has changed; the places of those who want it.
  std::vector<LitePlace> Sort();
  // Has the waiting room look there.
  void Tell(const std::vector<LitePlace>& places) ABSL_LOCKS_EXCLUDED(mutex_);
  void RemoveIdle();
  // Payloads of records that remove some.
  void AppendRemovals(const std::vector<std::string>& payloads);
  // Nullopt: it stays. Otherwise the payload of the record that removes it. `groups` are those that
  // are bound to `parent`.
  std::optional<std::string> RemoveIfIdle(const Topic& parent, const Groups& groups,
                                          LiteTopic& topic);

  const Rooms rooms_;
  mutable Mutex mutex_;
  absl::flat_hash_set<LitePlace> told_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
