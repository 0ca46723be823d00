#include "services/broker/timers/testing/timer_rig.h"

#include <string>
#include <utility>

#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/check.h"
#include "services/base/clock.h"
#include "services/store/index/queue_index.h"
#include "services/store/log/record.h"

namespace dunlin::broker {
namespace {

void Check(const absl::Status& status) { CHECK(status.ok(), status.ToString()); }

}  // namespace

TimerRig::TimerRig(uint64_t segment_size_bytes) : store(segment_size_bytes) {
  store.Open();
  Load();
  TopicTable::TopicSpec spec;
  spec.name = "delayed";
  spec.queues = kQueues;
  spec.kinds = KindBit(apache::rocketmq::v2::DELAY);
  auto topic = topics->CreateTopic(spec);
  Check(topic.status());
  id = (*topic)->id;
}

TimerRig::~TimerRig() { Unload(); }

void TimerRig::Crash(bool checkpoint) {
  if (checkpoint) Check(store.dispatcher().Checkpoint());
  Unload();
  store.Crash();
  store.Open();
  Load();
}

void TimerRig::Step() {
  store.Settle();
  Check(engine->Step().status());
  Check(store.log().FlushUpTo(store.log().end()));  // the engine does not wait
  store.Settle();
}

std::vector<store::TimerKey> TimerRig::TakeDelivered() {
  std::vector<store::TimerKey> keys;
  for (uint32_t queue = 0; queue < kQueues; ++queue) {
    std::vector<store::IndexEntry> entries;
    const store::QueueBounds bounds = store.dispatcher().queues().Bounds({id, queue});
    if (bounds.max <= seen_[queue]) continue;
    Check(store.dispatcher().queues().Read({id, queue}, seen_[queue],
                                           bounds.max.value() - seen_[queue].value(), entries));
    seen_[queue] = bounds.max;
    for (const store::IndexEntry& entry : entries) keys.push_back(KeyOf(entry.log_offset));
  }
  return keys;
}

void TimerRig::Load() {
  auto loaded = TopicTable::Load(store.log(), store.dispatcher(), store.state(), store.clock(),
                                 TopicTable::Limits());
  Check(loaded.status());
  topics = *std::move(loaded);
  engine = std::make_unique<DueMessages>(store.log(), store.dispatcher().timers(), *topics,
                                         store.clock());
}

void TimerRig::Unload() {
  engine.reset();
  topics.reset();
}

store::TimerKey TimerRig::KeyOf(LogOffset pointer) {
  const auto record = store.log().Read(pointer);
  Check(record.status());
  constexpr size_t kMostBytes = 128;
  CHECK(record->bytes().size() <= kMostBytes);
  CHECK((record->header().flags & store::kFlagDue) != 0);
  storage::v1::Delivery delivery;
  CHECK(delivery.ParseFromString(std::string(record->payload())));
  const uint64_t timer = delivery.timer_id();
  return {FromUnixMillis(delivery.due_ms()),
          LogOffset(timer != 0 ? timer : delivery.origin_log_offset())};
}

}  // namespace dunlin::broker
