#include "services/broker/delivery/waiting_room.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// How long the thread sleeps at most: a bound for events that do not interrupt it.
constexpr std::chrono::milliseconds kNap{50};

constexpr GroupId kFirstGroup{0};
constexpr GroupId kLastGroup{std::numeric_limits<uint32_t>::max()};
// Pulls compete with nobody: each of them is asked when its topic changed.
constexpr GroupId kPulls{0};

}  // namespace

WaitingRoom::WaitingRoom(const Options& options, store::Dispatcher& dispatcher, Progress& progress,
                         const Clock& clock)
    : options_(options), dispatcher_(dispatcher), progress_(progress), clock_(clock) {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "delivery");
}

WaitingRoom::~WaitingRoom() { Stop(); }

absl::Status WaitingRoom::Enter(std::shared_ptr<Waiter> waiter, Place place, Timestamp deadline,
                                const void* owner) {
  const LogOffset seen = dispatcher_.dispatched().Get();
  if (waiter->TryServe() == Waiter::Outcome::kServed) return absl::OkStatus();
  if (deadline <= clock_.Now()) {
    waiter->OnTimeout();
    return absl::OkStatus();
  }
  auto entry = std::make_shared<Entry>();
  entry->waiter = std::move(waiter);
  entry->place = place;
  entry->owner = owner;
  bool interrupt = false;
  {
    MutexLock lock(mutex_);
    // Served just now, on this thread, it may be back before its former place is free.
    const auto former = std::static_pointer_cast<Entry>(entry->waiter->entry_.lock());
    if (former != nullptr) Forget(*former);
    RETURN_IF_ERROR(CheckRoom(owner));
    if (owner != nullptr) ++owned_[owner];
    if (size_ == 0) anybody_.Signal();
    interrupt = size_ != 0 && deadline < deadlines_.begin()->first;
    ++size_;
    Lane& lane = lanes_[place];
    entry->in_lane = lane.insert(lane.end(), entry);
    entry->waiter->entry_ = entry;
    entry->deadline = deadlines_.emplace(deadline, entry);
    // Something may have come between the look above and now.
    new_.push_back(entry);
  }
  if (interrupt || dispatcher_.dispatched().Get() != seen) dispatcher_.dispatched().Interrupt();
  return absl::OkStatus();
}

absl::Status WaitingRoom::CheckRoom(const void* owner) const {
  if (stopping_ || size_ >= options_.max_waiters) {
    return PublicError(PublicCode::kTooManyRequests,
                       fmt::format("{} polls are waiting already; try again later", size_));
  }
  const auto owned = owned_.find(owner);
  if (owned == owned_.end() || owned->second < std::max<size_t>(options_.max_waiters / 2, 1)) {
    return absl::OkStatus();
  }
  return PublicError(PublicCode::kTooManyRequests,
                     fmt::format("{} bindings of this stream are waiting for messages, half of all "
                                 "that may; read from fewer queues at a time",
                                 owned->second));
}

void WaitingRoom::Leave(Waiter& waiter) {
  MutexLock lock(mutex_);
  const auto entry = std::static_pointer_cast<Entry>(waiter.entry_.lock());
  if (entry != nullptr) Forget(*entry);
}

void WaitingRoom::Nudge(TopicId topic, GroupId group) {
  {
    MutexLock lock(mutex_);
    if (!lanes_.contains(Place{topic, group})) return;
    nudged_.push_back({topic, group});
  }
  dispatcher_.dispatched().Interrupt();
}

void WaitingRoom::Nudge(TopicId topic) {
  {
    MutexLock lock(mutex_);
    const std::vector<Place> places = PlacesOf(topic);
    if (places.empty()) return;
    nudged_.insert(nudged_.end(), places.begin(), places.end());
  }
  dispatcher_.dispatched().Interrupt();
}

void WaitingRoom::NudgeGroup(GroupId group) {
  {
    MutexLock lock(mutex_);
    // Of all topics: groups are paused and limited by people.
    for (const auto& [place, lane] : lanes_) {
      if (place.group == group || place.group == kPulls) nudged_.push_back(place);
    }
  }
  dispatcher_.dispatched().Interrupt();
}

size_t WaitingRoom::size() const {
  MutexLock lock(mutex_);
  return size_;
}

void WaitingRoom::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    anybody_.Signal();
  }
  dispatcher_.dispatched().Interrupt();
  if (thread_.joinable()) thread_.join();
}

void WaitingRoom::Loop() {
  LogOffset seen = dispatcher_.dispatched().Get();
  for (;;) {
    AwaitAnybody();
    seen = dispatcher_.dispatched().WaitAbove(seen, UntilNext());
    for (TopicId topic : dispatcher_.TakeChangedTopics()) ServeTopic(topic);
    for (const Progress::Due& due : progress_.TakeDue()) Serve({due.topic, due.group});
    std::vector<Place> nudged;
    if (options_.more) nudged = options_.more();
    {
      MutexLock lock(mutex_);
      nudged.insert(nudged.end(), nudged_.begin(), nudged_.end());
      nudged_.clear();
    }
    std::sort(nudged.begin(), nudged.end());
    nudged.erase(std::unique(nudged.begin(), nudged.end()), nudged.end());
    for (Place place : nudged) ServePlace(place);
    ServeNew();
    ServeHeldBack();
    TimeOut();
    MutexLock lock(mutex_);
    if (stopping_ && size_ == 0) return;
  }
}

void WaitingRoom::AwaitAnybody() {
  MutexLock lock(mutex_);
  while (size_ == 0 && new_.empty() && !stopping_) anybody_.Wait(mutex_);
}

std::vector<WaitingRoom::Place> WaitingRoom::PlacesOf(TopicId topic) const {
  std::vector<Place> places;
  for (auto lane = lanes_.lower_bound(Place{topic, kFirstGroup});
       lane != lanes_.end() && lane->first <= Place{topic, kLastGroup, UINT64_MAX}; ++lane) {
    places.push_back(lane->first);
  }
  return places;
}

void WaitingRoom::ServeTopic(TopicId topic) {
  std::vector<Place> places;
  {
    MutexLock lock(mutex_);
    places = PlacesOf(topic);
  }
  for (Place place : places) ServePlace(place);
}

void WaitingRoom::ServePlace(Place place) {
  place.group == kPulls ? ServePulls(place) : Serve(place);
}

void WaitingRoom::Serve(Place place) {
  for (size_t full = 0;;) {
    std::shared_ptr<Entry> first;
    {
      MutexLock lock(mutex_);
      auto lane = lanes_.find(place);
      if (lane == lanes_.end() || full >= lane->second.size()) return;
      first = lane->second.front();
    }
    const Waiter::Outcome outcome = Ask(first);
    if (outcome == Waiter::Outcome::kServed) continue;
    if (outcome != Waiter::Outcome::kFull) return;  // the others would find as little
    ++full;
    MutexLock lock(mutex_);
    auto lane = lanes_.find(place);
    if (first->gone || lane == lanes_.end()) continue;
    lane->second.splice(lane->second.end(), lane->second, first->in_lane);
  }
}

void WaitingRoom::ServePulls(Place place) {
  std::vector<std::shared_ptr<Entry>> asked;
  {
    MutexLock lock(mutex_);
    auto lane = lanes_.find(place);
    if (lane == lanes_.end()) return;
    asked.assign(lane->second.begin(), lane->second.end());
  }
  for (const std::shared_ptr<Entry>& entry : asked) Ask(entry);
}

void WaitingRoom::ServeNew() {
  std::vector<std::shared_ptr<Entry>> asked;
  {
    MutexLock lock(mutex_);
    asked.swap(new_);
  }
  for (const std::shared_ptr<Entry>& entry : asked) Ask(entry);
}

void WaitingRoom::ServeHeldBack() {
  std::set<Place> places;
  std::vector<std::shared_ptr<Entry>> pulls;
  {
    MutexLock lock(mutex_);
    if (clock_.Now() < look_at_) return;
    places.swap(held_back_);
    for (const std::weak_ptr<Entry>& weak : held_back_pulls_) {
      std::shared_ptr<Entry> entry = weak.lock();
      if (entry == nullptr) continue;
      entry->held_back = false;
      pulls.push_back(std::move(entry));
    }
    held_back_pulls_.clear();
  }
  for (Place place : places) ServePlace(place);
  for (const std::shared_ptr<Entry>& entry : pulls) Ask(entry);
}

void WaitingRoom::HoldBack(const std::shared_ptr<Entry>& entry) {
  if (held_back_.empty() && held_back_pulls_.empty()) look_at_ = clock_.Now() + kNap;
  // Pulls do not share what they wait for: the limit of one is none of the others'.
  if (entry->place.group != kPulls) {
    held_back_.insert(entry->place);
  } else if (!std::exchange(entry->held_back, true)) {
    held_back_pulls_.push_back(entry);
  }
}

Waiter::Outcome WaitingRoom::Ask(const std::shared_ptr<Entry>& entry) {
  {
    MutexLock lock(mutex_);
    if (entry->gone) return Waiter::Outcome::kServed;
  }
  // Not under the lock: serving reads the log and writes to the client.
  const Waiter::Outcome outcome = entry->waiter->TryServe();
  MutexLock lock(mutex_);
  if (outcome == Waiter::Outcome::kServed) Forget(*entry);
  if (outcome == Waiter::Outcome::kLookAgain) {
    entry->place.group == kPulls ? new_.push_back(entry) : nudged_.push_back(entry->place);
  }
  if (outcome == Waiter::Outcome::kNotYet && !entry->gone) HoldBack(entry);
  return outcome;
}

void WaitingRoom::TimeOut() {
  const Timestamp now = clock_.Now();
  for (;;) {
    std::shared_ptr<Entry> entry;
    {
      MutexLock lock(mutex_);
      if (deadlines_.empty()) return;
      auto first = deadlines_.begin();
      if (first->first > now && !stopping_) return;
      entry = first->second;
      Forget(*entry);
    }
    entry->waiter->OnTimeout();
  }
}

void WaitingRoom::Forget(Entry& entry) {
  if (entry.gone) return;
  entry.gone = true;
  --size_;
  if (auto owned = owned_.find(entry.owner); owned != owned_.end() && --owned->second == 0) {
    owned_.erase(owned);
  }
  auto lane = lanes_.find(entry.place);
  lane->second.erase(entry.in_lane);
  if (lane->second.empty()) lanes_.erase(lane);
  deadlines_.erase(entry.deadline);  // may be what keeps `entry`: nothing after this touches it
}

std::chrono::milliseconds WaitingRoom::UntilNext() const {
  const Timestamp now = clock_.Now();
  if (options_.has_more && options_.has_more()) return std::chrono::milliseconds(0);
  MutexLock lock(mutex_);
  if (!nudged_.empty() || !new_.empty() || stopping_) return std::chrono::milliseconds(0);
  if (deadlines_.empty()) return kNap;  // the last has just left
  std::chrono::milliseconds nap = std::min(kNap, deadlines_.begin()->first - now);
  if (const std::optional<Timestamp> due = progress_.NextDue(); due.has_value()) {
    nap = std::min(nap, *due - now);
  }
  return std::max(nap, std::chrono::milliseconds(0));
}

}  // namespace dunlin::broker
