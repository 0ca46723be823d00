// How fast a log becomes a view, and how fast the view answers.

#include <benchmark/benchmark.h>

#include <array>
#include <filesystem>
#include <vector>

#include "services/base/check.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::store {
namespace {

constexpr uint64_t kMessages = 200'000;

// kMessages messages of about 200 bytes in `queues` queues, with a tag, a key and an id.
void Produce(StoreRig& rig, uint32_t queues) {
  const TestMessage message =
      MakeMessage(std::string(100, 'x'), "tag", {"some-key"}, "01C0FFEE0000000000000000000000");
  const std::string_view payload = message.payload;
  std::vector<QueueTailSlot> tails(queues);
  for (uint64_t i = 0; i < kMessages;) {
    NewRecord record;
    record.queue = {TopicId(1), static_cast<uint32_t>(i % queues)};
    record.tail = &tails[i % queues];
    record.properties_offset = message.properties_offset;
    record.payload = {&payload, 1};
    std::array<Appended, 1> appended;
    const absl::Status status = rig.log().Append({&record, 1}, appended, nullptr);
    if (absl::IsResourceExhausted(status)) {
      CHECK(rig.log().FlushUpTo(rig.log().end()).ok());
      continue;
    }
    CHECK(status.ok(), status.ToString());
    ++i;
  }
  CHECK(rig.log().FlushUpTo(rig.log().end()).ok());
}

// A rebuild: the whole log is replayed.
void BM_Rebuild(benchmark::State& state) {
  StoreRig rig(64u << 20);
  rig.OpenLog();
  Produce(rig, static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    rig.StopDispatcher();
    std::filesystem::remove_all(rig.state_directory());
    state.ResumeTiming();
    CHECK(rig.StartDispatcher().ok());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kMessages));
}
BENCHMARK(BM_Rebuild)->Arg(1)->Arg(1000)->Unit(benchmark::kMillisecond);

// A consumer in the middle of a queue: 32 entries at a time.
void BM_ReadIndex(benchmark::State& state) {
  StoreRig rig(64u << 20);
  rig.OpenLog();
  Produce(rig, 1);
  CHECK(rig.StartDispatcher().ok());
  const QueueKey queue{TopicId(1), 0};
  std::vector<IndexEntry> entries;
  uint64_t from = 0;
  for (auto _ : state) {
    entries.clear();
    CHECK(rig.dispatcher().queues().Read(queue, QueueOffset(from), 32, entries).ok());
    benchmark::DoNotOptimize(entries.data());
    from = (from + 32) % (kMessages - 32);
  }
  state.SetItemsProcessed(state.iterations() * 32);
}
BENCHMARK(BM_ReadIndex);

}  // namespace
}  // namespace dunlin::store

BENCHMARK_MAIN();
