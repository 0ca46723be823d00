// What an entry of the queue index costs: put, read back, as bytes.

#include <benchmark/benchmark.h>
#include <rocksdb/write_batch.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/base/check.h"
#include "services/base/file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/measure.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/index/chunk_codec.h"
#include "services/store/index/queue_chunks.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/database.h"

namespace dunlin::store {
namespace {

constexpr QueueKey kQueue{TopicId(1), 2};
constexpr uint32_t kLength = 192;

// Of messages that stand one behind the other in the log, as those of a frame do.
std::vector<IndexEntry> Entries(size_t count) {
  std::vector<IndexEntry> entries;
  for (size_t i = 0; i < count; ++i) entries.push_back({LogOffset(i * kLength), kLength, 0});
  return entries;
}

struct Rig {
  Rig() {
    CommitLogOptions options;
    options.directory = directory.path();
    options.segment_size_bytes = 64u << 10;
    auto opened = CommitLog::Open(options, RealFiles(), clock);
    CHECK(opened.ok(), opened.status().ToString());
    log = *std::move(opened);
    auto made = Database::Open(directory.path() + "/state");
    CHECK(made.ok(), made.status().ToString());
    database = *std::move(made);
    chunks = std::make_unique<QueueChunks>(*database, *log);
  }

  TempDir directory;
  ManualClock clock;
  std::unique_ptr<CommitLog> log;
  std::unique_ptr<Database> database;
  std::unique_ptr<QueueChunks> chunks;
};

// The entries of a frame; RocksDB's part is the dispatcher's.
void PutRun(benchmark::State& state) {
  Rig rig;
  const std::vector<IndexEntry> entries = Entries(static_cast<size_t>(state.range(0)));
  rocksdb::WriteBatch batch;
  QueueOffset next;
  Measure(state, 128, [&] {
    CHECK(rig.chunks->PutRun(kQueue, next, entries, batch).ok());
    next += entries.size();
    batch.Clear();
    rig.chunks->BatchWritten();
  });
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(PutRun)->Arg(1)->Arg(340);

// 32 entries from where the argument says: of the open chunk, or of one that RocksDB has.
void Read(benchmark::State& state) {
  Rig rig;
  rocksdb::WriteBatch batch;
  CHECK(rig.chunks->PutRun(kQueue, QueueOffset(0), Entries(64 * kChunkEntries - 1), batch).ok());
  CHECK(rig.database->Write(batch).ok());
  rig.chunks->BatchWritten();
  const QueueOffset from(state.range(0) == 0 ? kChunkEntries : 63 * kChunkEntries);
  std::vector<IndexEntry> entries;
  Measure(state, 128, [&] {
    entries.clear();
    CHECK(rig.chunks->Read(kQueue, from, 32, entries).ok());
    benchmark::DoNotOptimize(entries.data());
  });
  state.SetItemsProcessed(state.iterations() * 32);
}
BENCHMARK(Read)->ArgName("open")->Arg(0)->Arg(1);

void Encode(benchmark::State& state) {
  const std::vector<IndexEntry> entries = Entries(kChunkEntries);
  Measure(state, 128, [&] {
    std::string bytes = EncodeChunk(entries);
    benchmark::DoNotOptimize(bytes);
  });
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kChunkEntries));
}
BENCHMARK(Encode);

void Decode(benchmark::State& state) {
  const std::string bytes = EncodeChunk(Entries(kChunkEntries));
  Measure(state, 128, [&] {
    auto entries = DecodeChunk(bytes);
    CHECK(entries.ok());
    benchmark::DoNotOptimize(entries);
  });
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kChunkEntries));
}
BENCHMARK(Decode);

}  // namespace
}  // namespace dunlin::store

BENCHMARK_MAIN();
