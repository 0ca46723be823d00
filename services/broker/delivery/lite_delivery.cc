#include "services/broker/delivery/lite_delivery.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/broker/codes/public_code.h"
#include "services/store/index/queue_index.h"

namespace dunlin::broker {
namespace {

// Lightweight topics looked at in one step of the housekeeper, so many at a time while the time of
// the step lasts: what a step takes is bounded, and thousands a second may go.
constexpr size_t kRemovalsPerStep = 1000;
constexpr size_t kRemovalsAtATime = 50;
constexpr std::chrono::milliseconds kRemovalTime{10};
// One that is idle and not consumed is looked at again after this share of its time to live, or
// after this time, if that is longer: a look may read from disk.
constexpr int kLooksPerLife = 4;
constexpr std::chrono::minutes kLooksApart{10};

}  // namespace

// Of one receive.
class LiteDelivery::Ready final : public LiteQueues {
 public:
  Ready(const Rooms& rooms, const Subscription& subscription)
      : rooms_(rooms), subscription_(subscription) {}

  std::optional<uint32_t> Next() override {
    const GroupId group = subscription_.group->id;
    for (;;) {
      const std::optional<uint32_t> queue =
          rooms_.subscriptions.TakeReady(group, subscription_.client_id);
      if (!queue.has_value()) return std::nullopt;
      const QueueKey key{subscription_.topic->id, *queue};
      pin_ = rooms_.table.Find(key);
      // Expired, or not wanted any more.
      if (!pin_ || !rooms_.subscriptions.Wants(group, subscription_.client_id, pin_->name))
        continue;
      const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(key);
      if (bounds.min != bounds.max) return queue;
    }
  }

  void LookAgain(uint32_t queue) override {
    rooms_.subscriptions.MarkReady({subscription_.topic->id, queue}, pin_->name,
                                   subscription_.group->id, told_);
  }
  // Who may get what was not looked at to its end, this client and others.
  std::vector<LitePlace>& Told() { return told_; }

 private:
  const Rooms& rooms_;
  const Subscription& subscription_;
  std::vector<LitePlace> told_;
  LiteTable::Pin pin_;  // what is being looked into is not removed meanwhile
};

Taker::Taken LiteDelivery::Take(Subscription& subscription) {
  const GroupId group = subscription.group->id;
  const LitePlace own = PlaceOf(subscription.topic->id, group, subscription.client_id);
  std::vector<LitePlace> changed = Sort();
  std::erase(changed, own);
  Tell(changed);
  Ready ready(rooms_, subscription);
  subscription.lite = &ready;
  Taker::Taken taken = rooms_.taker.Take(subscription);
  subscription.lite = nullptr;
  std::erase(ready.Told(), own);
  Tell(ready.Told());
  // For another receive of the same client, which may be waiting. A group that is held back is
  // looked after by whoever holds it back.
  const bool held_back = taken.throttled || subscription.group->paused;
  if (!held_back && rooms_.subscriptions.HasReady(group, subscription.client_id)) Tell({own});
  return taken;
}

absl::StatusOr<LiteSubscriptions::Outcome> LiteDelivery::Subscribe(
    const LiteSubscriptions::Change& change, const std::function<void(const LiteTopic&)>& prepare) {
  absl::StatusOr<LiteSubscriptions::Outcome> outcome = rooms_.subscriptions.Apply(change);
  if (!outcome.ok() || outcome->ignored) return outcome;
  std::vector<std::string_view> names(outcome->added.begin(), outcome->added.end());
  if (prepare) names = change.names;
  std::vector<LitePlace> told;
  for (std::string_view name : names) {
    const LiteTable::Pin pin = rooms_.table.Find(change.parent, name);
    if (!pin) continue;
    if (prepare) prepare(*pin);
    rooms_.subscriptions.MarkReady(pin->queue, name, change.group, told);
  }
  Tell(told);
  return outcome;
}

std::vector<LitePlace> LiteDelivery::Sort() {
  std::vector<LitePlace> told;
  for (QueueKey queue : rooms_.dispatcher.TakeChangedLiteTopics()) {
    const LiteTable::Pin pin = rooms_.table.Find(queue);
    if (pin) rooms_.subscriptions.MarkReady(queue, pin->name, std::nullopt, told);
  }
  for (const Progress::DueLite& due : rooms_.progress.TakeDueLite()) {
    const LiteTable::Pin pin = rooms_.table.Find(due.queue);
    if (pin) rooms_.subscriptions.MarkReady(due.queue, pin->name, due.group, told);
  }
  return told;
}

void LiteDelivery::Tell(const std::vector<LitePlace>& places) {
  if (places.empty()) return;
  {
    MutexLock lock(mutex_);
    told_.insert(places.begin(), places.end());
  }
  // The waiting room's thread follows the dispatcher.
  rooms_.dispatcher.dispatched().Interrupt();
}

std::vector<LitePlace> LiteDelivery::TakeTold() {
  const std::vector<LitePlace> changed = Sort();
  MutexLock lock(mutex_);
  told_.insert(changed.begin(), changed.end());
  std::vector<LitePlace> places(told_.begin(), told_.end());
  told_.clear();
  return places;
}

bool LiteDelivery::HasTold() const {
  MutexLock lock(mutex_);
  return !told_.empty();
}

void LiteDelivery::Step() {
  Tell(Sort());
  rooms_.progress.ForgetIdle(rooms_.dispatcher.dispatched().Get());
  RemoveIdle();
}

bool LiteDelivery::Lags(const Group& group, const LiteTopic& topic) const {
  const absl::StatusOr<store::QueueBounds> bounds =
      rooms_.dispatcher.queues().FindBounds(topic.queue);
  if (!bounds.ok()) return true;
  if (bounds->min == bounds->max) return false;
  const absl::StatusOr<QueueOffset> committed =
      rooms_.progress.CommittedOffset(group.id, topic.queue);
  if (committed.ok()) return *committed < bounds->max;
  if (CodeOf(committed.status()) != PublicCode::kOffsetNotFound) return true;
  return !rooms_.subscriptions.ClientsOf(group.id, topic.name).empty();
}

Timestamp LiteDelivery::LastUse(const LiteTopic& topic) const {
  if (const int64_t used = topic.used_ms; used != 0) return FromUnixMillis(used);
  // Since the start nobody sent: the log knows.
  const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(topic.queue);
  if (bounds.min == bounds.max) return topic.created;
  std::vector<store::IndexEntry> last;
  const absl::Status read = rooms_.dispatcher.queues().Read(topic.queue, bounds.max - 1, 1, last);
  if (!read.ok() || last.empty()) return topic.created;
  const absl::StatusOr<store::RecordView> record = rooms_.log.Read(last.front().log_offset);
  return record.ok() ? record->header().store_time : topic.created;
}

void LiteDelivery::RemoveIdle() {
  const auto until = std::chrono::steady_clock::now() + kRemovalTime;
  std::vector<std::string> payloads;
  absl::flat_hash_map<TopicId, Groups> bound;
  for (size_t looked = 0; looked < kRemovalsPerStep; looked += kRemovalsAtATime) {
    const auto due = rooms_.table.TakeDue(kRemovalsAtATime);
    for (const std::shared_ptr<LiteTopic>& topic : due) {
      const std::shared_ptr<const Topic> parent = rooms_.topics.FindTopic(topic->queue.topic);
      if (parent == nullptr) continue;  // it goes with its parent
      auto groups = bound.find(parent->id);
      if (groups == bound.end()) {
        groups = bound.emplace(parent->id, rooms_.topics.GroupsBoundTo(*parent)).first;
      }
      std::optional<std::string> payload = RemoveIfIdle(*parent, groups->second, *topic);
      if (payload.has_value()) payloads.push_back(*std::move(payload));
    }
    if (due.empty() || std::chrono::steady_clock::now() >= until) break;
  }
  AppendRemovals(payloads);
}

void LiteDelivery::AppendRemovals(const std::vector<std::string>& payloads) {
  if (payloads.empty()) return;
  std::vector<std::string_view> pieces(payloads.begin(), payloads.end());
  std::vector<store::NewRecord> records(payloads.size());
  for (size_t i = 0; i < payloads.size(); ++i) {
    records[i].kind = store::RecordKind::kConfig;
    records[i].payload = {&pieces[i], 1};
  }
  std::vector<store::Appended> appended(records.size());
  const absl::Status status = rooms_.log.Append(records, appended, nullptr);
  if (status.ok()) return;
  // They are back after the next start, and go then.
  log::Warning("the end of {} lightweight topics was not stored: {}", records.size(),
               status.ToString());
}

std::optional<std::string> LiteDelivery::RemoveIfIdle(const Topic& parent, const Groups& groups,
                                                      LiteTopic& topic) {
  const std::chrono::minutes life = parent.lite_expiration;
  if (life.count() == 0 && !topic.replaced) return std::nullopt;
  const int64_t used = topic.used_ms;
  const Timestamp now = rooms_.clock.Now();
  if (!topic.replaced) {
    if (const Timestamp until = LastUse(topic) + life; until > now) {
      rooms_.table.LookAgain(topic, until);
      return std::nullopt;
    }
  }
  const bool lags = !topic.replaced && std::any_of(groups.begin(), groups.end(),
                                                   [&](const auto& g) { return Lags(*g, topic); });
  if (lags) {
    rooms_.table.LookAgain(topic, now + std::max(life / kLooksPerLife, kLooksApart));
    return std::nullopt;
  }
  if (!rooms_.table.Remove(topic, used)) {
    rooms_.table.LookSoon(topic);  // somebody is just using it
    return std::nullopt;
  }
  // Nobody finds it any more. What the groups had of it goes before the record that says so is
  // written: no row of it comes behind that.
  storage::v1::ConfigChange change;
  storage::v1::LiteTopicRemoval& removal = *change.mutable_remove_lite_topic();
  removal.set_topic_id(topic.queue.topic.value());
  removal.set_queue(topic.queue.queue);
  for (const std::shared_ptr<const Group>& group : groups) {
    removal.add_group_ids(group->id.value());
    rooms_.progress.DropQueue(group->id, topic.queue);
  }
  return change.SerializeAsString();
}

}  // namespace dunlin::broker
