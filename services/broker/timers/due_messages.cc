#include "services/broker/timers/due_messages.h"

#include <pthread.h>

#include <algorithm>
#include <string>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/check.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;

// Pointers of one append: more would hold up what others append.
constexpr size_t kBatch = 1024;
// While something is pending the clock is looked at this often: the thread sleeps by one that
// stands still while the machine is suspended.
constexpr milliseconds kLongestNap{100};
constexpr milliseconds kNapWithoutTimers{10'000};
// Before the next try after the log had no room, and after another error.
constexpr milliseconds kRoomNap{5};
constexpr milliseconds kErrorNap{1000};

template <typename Proto, size_t size>
std::string_view Serialize(const Proto& proto, std::array<char, size>& bytes) {
  const size_t length = proto.ByteSizeLong();
  CHECK(length <= size);
  proto.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(bytes.data()));
  return {bytes.data(), length};
}

}  // namespace

DueMessages::DueMessages(store::CommitLog& log, store::TimerIndex& timers, const TopicTable& topics,
                         const Clock& clock)
    : log_(log), timers_(timers), topics_(topics), clock_(clock), payloads_(kBatch) {}

DueMessages::~DueMessages() { Stop(); }

void DueMessages::Start() {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "timers");
}

void DueMessages::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.SignalAll();
  }
  timers_.Interrupt();
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<DueMessages::Rest> DueMessages::Step() {
  const Timestamp now = clock_.Now();
  for (;;) {
    ASSIGN_OR_RETURN(store::TimerIndex::Due due, timers_.TakeDue(now, kBatch));
    if (!due.timers.empty()) {
      const absl::Status delivered = Deliver(due.timers);
      if (!delivered.ok()) {
        timers_.GiveBack(due.timers);
        return delivered;
      }
      continue;
    }
    if (!due.next.has_value()) return Rest{kNapWithoutTimers, due.seen};
    // Without room the index wakes this thread when it has some.
    const milliseconds idle = due.full ? kLongestNap : *due.next - now;
    return Rest{std::clamp(idle, milliseconds(0), kLongestNap), due.seen};
  }
}

absl::Status DueMessages::Deliver(std::vector<store::Timer>& timers) {
  // Neighbours of one queue are indexed as one; within a queue the order stays.
  std::stable_sort(timers.begin(), timers.end(),
                   [](const store::Timer& a, const store::Timer& b) { return a.queue < b.queue; });
  views_.clear();
  views_.reserve(timers.size());
  records_.clear();
  std::shared_ptr<const Topic> topic;  // its tails live until the append is done
  std::vector<std::shared_ptr<const Topic>> topics;
  uint64_t pointers = 0;
  for (const store::Timer& timer : timers) {
    if (topic == nullptr || topic->id != timer.queue.topic) {
      topic = topics_.FindTopic(timer.queue.topic);
      if (topic != nullptr) topics.push_back(topic);
    }
    if (topic != nullptr && timer.queue.queue < topic->queues()) {
      AddPointer(timer, topic->tails[timer.queue.queue].get());
      ++pointers;
    } else {
      AddRecall(timer);  // the topic was deleted
    }
  }
  appended_.resize(records_.size());
  RETURN_IF_ERROR(log_.Append(records_, appended_, nullptr));
  delivered_.fetch_add(pointers, std::memory_order_relaxed);
  return absl::OkStatus();
}

void DueMessages::AddPointer(const store::Timer& timer, store::QueueTailSlot* tail) {
  storage::v1::Delivery delivery;
  delivery.set_origin_log_offset(timer.place.value());
  delivery.set_due_ms(ToUnixMillis(timer.key.due));
  if (timer.key.id != timer.place) delivery.set_timer_id(timer.key.id.value());
  delivery.set_tag_hash(timer.tag_hash);
  views_.push_back(Serialize(delivery, payloads_[views_.size()]));
  store::NewRecord& record = records_.emplace_back();
  record.kind = store::RecordKind::kDelivery;
  record.flags = store::kFlagDue;
  record.queue = timer.queue;
  record.tail = tail;
  record.payload = {&views_.back(), 1};
}

void DueMessages::AddRecall(const store::Timer& timer) {
  storage::v1::Recall recall;
  recall.set_due_ms(ToUnixMillis(timer.key.due));
  recall.set_timer_id(timer.key.id.value());
  views_.push_back(Serialize(recall, payloads_[views_.size()]));
  store::NewRecord& record = records_.emplace_back();
  record.kind = store::RecordKind::kRecall;
  record.payload = {&views_.back(), 1};
}

void DueMessages::Nap(milliseconds length) {
  const auto wake = std::chrono::steady_clock::now() + length;
  MutexLock lock(mutex_);
  while (!stopping_ && stop_.WaitUntil(mutex_, wake)) {
  }
}

void DueMessages::Loop() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
    }
    const absl::StatusOr<Rest> rest = Step();
    if (rest.ok()) {
      timers_.Wait(rest->seen, rest->idle);
    } else if (absl::IsResourceExhausted(rest.status())) {
      Nap(kRoomNap);
    } else {
      log::Warning("delayed messages cannot be delivered now, trying again: {}",
                   rest.status().ToString());
      Nap(kErrorNap);
    }
  }
}

}  // namespace dunlin::broker
