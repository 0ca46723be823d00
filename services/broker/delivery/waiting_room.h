// WaitingRoom: long polls that found nothing, and the thread (`delivery`) that serves them when a
// message arrives, a lease ends or their time is up.
//
// Costs follow what happened (topics that changed, leases that ended), not what waits. Thread-safe.

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/broker/progress/progress.h"
#include "services/store/dispatch/dispatcher.h"

namespace dunlin::broker {

// A request that waits. Kept alive by the room until it is served, timed out or found cancelled.
class Waiter {
 public:
  virtual ~Waiter() = default;

  enum class Outcome {
    kServed,     // answered, or its caller has gone: forget it
    kNothing,    // nothing for it now, nor for those behind it
    kFull,       // it takes nothing now; those behind it may
    kLookAgain,  // its budget is used up: serve it again soon
    kNotYet,     // a limit holds it back: serve it again a little later
  };
  // First in Enter(), then on the delivery thread only.
  virtual Outcome TryServe() = 0;
  // Its time is up, or the room closes. Answer without messages.
  virtual void OnTimeout() = 0;

 private:
  friend class WaitingRoom;
  std::weak_ptr<void> entry_;  // where it waits; guarded by the room's lock
};

class WaitingRoom {
 public:
  // Those who wait in one place compete for the same messages.
  struct Place {
    TopicId topic;
    GroupId group;
    uint64_t client = 0;  // of lightweight topics, where each client gets its own
    friend constexpr auto operator<=>(const Place&, const Place&) = default;
  };
  struct Options {
    size_t max_waiters = 100'000;
    // Further places that should look now, asked whenever the thread wakes; and whether there are
    // any, asked before it sleeps. May be empty.
    std::function<std::vector<Place>()> more;
    std::function<bool()> has_more;
  };

  // Starts the thread. All arguments must outlive the room.
  WaitingRoom(const Options& options, store::Dispatcher& dispatcher, Progress& progress,
              const Clock& clock);
  ~WaitingRoom();

  // Serves `waiter` at once if it can be served, otherwise keeps it until `deadline`. The group is
  // 0 for a pull, which competes with nobody. `owner`, if any, is who has many waiters: it gets
  // half of the room at most. TOO_MANY_REQUESTS when the room or that half is full; the waiter is
  // then not kept. One that waits already moves.
  absl::Status Enter(std::shared_ptr<Waiter> waiter, Place place, Timestamp deadline,
                     const void* owner = nullptr) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Enter(std::shared_ptr<Waiter> waiter, TopicId topic, GroupId group,
                     Timestamp deadline, const void* owner = nullptr) ABSL_LOCKS_EXCLUDED(mutex_) {
    return Enter(std::move(waiter), Place{topic, group}, deadline, owner);
  }

  // The caller has gone: frees the place. Nothing happens to one that does not wait.
  void Leave(Waiter& waiter) ABSL_LOCKS_EXCLUDED(mutex_);

  // A lease of this group ended early (negative acknowledgement, return): look soon.
  void Nudge(TopicId topic, GroupId group) ABSL_LOCKS_EXCLUDED(mutex_);
  // The group was paused, has other limits, or is gone: it should look, and those who pull, too.
  void NudgeGroup(GroupId group) ABSL_LOCKS_EXCLUDED(mutex_);
  // The topic has more queues, may not be read any more, or is gone: everybody should look.
  void Nudge(TopicId topic) ABSL_LOCKS_EXCLUDED(mutex_);

  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Answers everybody and joins the thread. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry;
  // One lane of waiters competes for the same messages: the first is asked first.
  using Lane = std::list<std::shared_ptr<Entry>>;
  using Deadlines = std::multimap<Timestamp, std::shared_ptr<Entry>>;
  struct Entry {
    std::shared_ptr<Waiter> waiter;
    Place place;
    const void* owner = nullptr;
    Lane::iterator in_lane;
    Deadlines::iterator deadline;
    bool held_back = false;  // to be asked when the limits are looked at again
    bool gone = false;
  };

  void Loop();
  // Returns when somebody waits, or the room closes.
  void AwaitAnybody() ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks those of one lane, in order, until one finds nothing. Who is full goes to its end.
  void Serve(Place place) ABSL_LOCKS_EXCLUDED(mutex_);
  void ServePulls(Place place) ABSL_LOCKS_EXCLUDED(mutex_);
  void ServePlace(Place place) ABSL_LOCKS_EXCLUDED(mutex_);
  void ServeTopic(TopicId topic) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Place> PlacesOf(TopicId topic) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ServeNew() ABSL_LOCKS_EXCLUDED(mutex_);
  void ServeHeldBack() ABSL_LOCKS_EXCLUDED(mutex_);
  void HoldBack(const std::shared_ptr<Entry>& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Waiter::Outcome Ask(const std::shared_ptr<Entry>& entry) ABSL_LOCKS_EXCLUDED(mutex_);
  void TimeOut() ABSL_LOCKS_EXCLUDED(mutex_);
  std::chrono::milliseconds UntilNext() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckRoom(const void* owner) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  store::Dispatcher& dispatcher_;
  Progress& progress_;
  const Clock& clock_;

  mutable Mutex mutex_;
  CondVar anybody_;
  // Lanes, ordered so that those of one topic are neighbours.
  std::map<Place, Lane> lanes_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<const void*, size_t> owned_ ABSL_GUARDED_BY(mutex_);  // those who wait
  Deadlines deadlines_ ABSL_GUARDED_BY(mutex_);
  std::vector<Place> nudged_ ABSL_GUARDED_BY(mutex_);
  // To be asked by themselves.
  std::vector<std::shared_ptr<Entry>> new_ ABSL_GUARDED_BY(mutex_);
  // Where limits hold messages back, and the pulls that they hold back; when to look there again.
  std::set<Place> held_back_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Entry>> held_back_pulls_ ABSL_GUARDED_BY(mutex_);
  Timestamp look_at_ ABSL_GUARDED_BY(mutex_);
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
