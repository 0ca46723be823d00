// What a message costs on its way into the log, and out of it again.

#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/check.h"
#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/measure.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/record_codec.h"

namespace dunlin::store {
namespace {

// Keeps the committer from work while it lives, as a slow disk would: what is appended meanwhile is
// one batch, whatever the scheduler does.
class HeldCommitter final : public CommitWaiter {
 public:
  explicit HeldCommitter(CommitLog& log) {
    CHECK(log.Append({}, {}, this).ok());
    MutexLock lock(mutex_);
    while (state_ != State::kHeld) changed_.Wait(mutex_);
  }
  ~HeldCommitter() {
    MutexLock lock(mutex_);
    state_ = State::kReleased;
    changed_.SignalAll();
    while (state_ != State::kDone) changed_.Wait(mutex_);
  }

  void OnCommitted(const absl::Status& status) override {
    CHECK(status.ok(), status.ToString());
    MutexLock lock(mutex_);
    state_ = State::kHeld;
    changed_.SignalAll();
    while (state_ != State::kReleased) changed_.Wait(mutex_);
    state_ = State::kDone;
    changed_.SignalAll();
  }

 private:
  enum class State { kWaiting, kHeld, kReleased, kDone };
  Mutex mutex_;
  CondVar changed_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kWaiting;
};

struct Rig {
  Rig() {
    CommitLogOptions options;
    options.directory = directory.path();
    options.segment_size_bytes = 64u << 20;
    auto opened = CommitLog::Open(options, RealFiles(), clock);
    CHECK(opened.ok(), opened.status().ToString());
    log = *std::move(opened);
  }

  std::vector<NewRecord> Records(size_t count) {
    NewRecord record;
    record.queue = {TopicId(1), 2};
    record.tail = &tail;
    record.properties_offset = static_cast<uint32_t>(pieces[0].size() + pieces[1].size());
    record.payload = pieces;
    return std::vector<NewRecord>(count, record);
  }

  // A message of a frame with a body of 128 bytes, as it is stored.
  const std::string body = "\x22\x80\x01" + std::string(128, 'x');
  const std::array<std::string_view, 3> pieces = {std::string_view("\x0a\x00", 2), body,
                                                  std::string_view("\x1a\x00", 2)};
  TempDir directory;
  ManualClock clock;
  QueueTailSlot tail;
  std::unique_ptr<CommitLog> log;
};

// So many messages in one call: one as an SDK sends it, 340 as a frame brings them.
void Append(benchmark::State& state) {
  Rig rig;
  const std::vector<NewRecord> records = rig.Records(static_cast<size_t>(state.range(0)));
  std::vector<Appended> appended(records.size());
  std::optional<HeldCommitter> held;
  Measure(
      state, 64, [&] { CHECK(rig.log->Append(records, appended, nullptr).ok()); },
      [&] {
        held.reset();
        CHECK(rig.log->DropBefore(rig.log->end()).ok());
        held.emplace(*rig.log);
      });
  held.reset();
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Append)->Arg(1)->Arg(340);

RecordHeader HeaderOf(size_t payload_size) {
  RecordHeader header;
  header.length = static_cast<uint32_t>(kRecordHeaderSize + payload_size);
  header.kind = RecordKind::kMessage;
  header.epoch = Epoch(1);
  header.log_offset = LogOffset(4096);
  header.queue = {TopicId(1), 2};
  return header;
}

void Encode(benchmark::State& state) {
  std::string bytes(kRecordHeaderSize + static_cast<size_t>(state.range(0)), 'x');
  const RecordHeader header = HeaderOf(bytes.size() - kRecordHeaderSize);
  Measure(state, 256, [&] {
    EncodeHeaderBeforePayload(header, bytes.data());
    benchmark::DoNotOptimize(bytes.data());
  });
}
BENCHMARK(Encode)->Arg(128)->Arg(1024);

// The header of a large record, whose payload was summed on its own.
void EncodeSummed(benchmark::State& state) {
  std::string bytes(kRecordHeaderSize, 'x');
  const RecordHeader header = HeaderOf(static_cast<size_t>(state.range(0)));
  Measure(state, 256, [&] {
    EncodeHeader(header, 0x12345678, bytes.data());
    benchmark::DoNotOptimize(bytes.data());
  });
}
BENCHMARK(EncodeSummed)->Arg(65536);

void Check(benchmark::State& state) {
  std::string bytes(kRecordHeaderSize + static_cast<size_t>(state.range(0)), 'x');
  const RecordHeader header = HeaderOf(bytes.size() - kRecordHeaderSize);
  EncodeHeaderBeforePayload(header, bytes.data());
  Measure(state, 256, [&] {
    auto checked = CheckRecord(bytes, {header.log_offset, header.epoch});
    CHECK(checked.ok());
    benchmark::DoNotOptimize(checked);
  });
}
BENCHMARK(Check)->Arg(128)->Arg(1024);

// A consumer that keeps up: one record after the other.
void Read(benchmark::State& state) {
  Rig rig;
  constexpr size_t kRecords = 340;
  std::vector<Appended> appended(kRecords);
  CHECK(rig.log->Append(rig.Records(kRecords), appended, nullptr).ok());
  CHECK(rig.log->FlushUpTo(rig.log->end()).ok());
  const std::unique_ptr<RecordReader> reader = rig.log->NewReader();
  size_t next = 0;
  Measure(state, kRecords, [&] {
    auto record = reader->Read(appended[next].log_offset);
    CHECK(record.ok());
    benchmark::DoNotOptimize(record);
    next = (next + 1) % kRecords;
  });
}
BENCHMARK(Read);

}  // namespace
}  // namespace dunlin::store

BENCHMARK_MAIN();
