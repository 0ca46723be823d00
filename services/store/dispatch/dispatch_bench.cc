// How fast a log becomes a view, and how fast the view answers.

#include <benchmark/benchmark.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/check.h"
#include "services/base/testing/measure.h"
#include "services/store/dispatch/applier.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/key_rows.h"
#include "services/store/index/pointer_rows.h"
#include "services/store/index/queue_chunks.h"
#include "services/store/index/timer_rows.h"
#include "services/store/index/transaction_rows.h"
#include "services/store/state/database.h"

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

// An empty view, without a thread.
struct View {
  View(CommitLog& log, const std::string& directory)
      : database(Open(directory)),
        queues(*database, log),
        keys(*database, log),
        pointers(*database),
        timers(*database, log),
        transactions(*database, log),
        applier(log, {*database, queues, keys, pointers, timers, transactions},
                storage::v1::Checkpoint()) {}

  static std::unique_ptr<Database> Open(const std::string& directory) {
    auto database = Database::Open(directory);
    CHECK(database.ok(), database.status().ToString());
    return *std::move(database);
  }

  const std::unique_ptr<Database> database;
  QueueChunks queues;
  KeyRows keys;
  PointerRows pointers;
  TimerRows timers;
  TransactionRows transactions;
  Applier applier;
};

// A rebuild: the whole log is replayed.
void Rebuild(benchmark::State& state) {
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
BENCHMARK(Rebuild)->Arg(1)->Arg(1000)->Unit(benchmark::kMillisecond);

// A consumer in the middle of a queue: 32 entries at a time.
void ReadIndex(benchmark::State& state) {
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
BENCHMARK(ReadIndex);

// What the dispatcher does with a frame that follows another: 340 messages with a body of 128 bytes
// alone, read from the log and applied.
void Apply(benchmark::State& state) {
  constexpr int kFrames = 32;
  constexpr size_t kFrame = 340;
  const TestMessage message = MakeMessage(std::string(128, 'x'), "", {}, "");
  const std::string_view payload = message.payload;
  StoreRig rig(64u << 20);
  rig.OpenLog();
  QueueTailSlot tail;
  NewRecord record;
  record.queue = {TopicId(1), 0};
  record.tail = &tail;
  record.properties_offset = message.properties_offset;
  record.payload = {&payload, 1};
  const std::vector<NewRecord> frame(kFrame, record);
  std::vector<Appended> appended(kFrame);
  for (int i = 0; i < kFrames; ++i) CHECK(rig.log().Append(frame, appended, nullptr).ok());
  CHECK(rig.log().FlushUpTo(rig.log().end()).ok());
  const std::unique_ptr<RecordReader> reader = rig.log().NewReader();
  std::unique_ptr<View> view;
  const LogOffset end = rig.log().end();
  LogOffset at;
  Measure(
      state, kFrames,
      [&] {
        for (size_t i = 0; i < kFrame; ++i) {
          const auto read = reader->ReadNext(at, end);
          CHECK(read.ok() && view->applier.Apply(*read).ok());
          at = read->end();
        }
        CHECK(view->applier.Commit(at).ok());
      },
      [&] {
        view.reset();
        std::filesystem::remove_all(rig.state_directory());
        view = std::make_unique<View>(rig.log(), rig.state_directory());
        at = rig.log().start();
      });
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kFrame));
}
BENCHMARK(Apply)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace dunlin::store

BENCHMARK_MAIN();
