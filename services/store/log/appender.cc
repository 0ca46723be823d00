#include "services/store/log/appender.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"

#include "services/base/bytes.h"
#include "services/base/check.h"
#include "services/base/crc32c.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/store/log/record_codec.h"

namespace dunlin::store {
namespace {

// Blocks are this large, or as large as the one record they hold. A few are kept for reuse.
constexpr size_t kBlockSize = 64u << 10;
constexpr size_t kFreeBlocks = 64;
// Larger payloads are copied and summed before the lock is taken.
constexpr size_t kLargePayload = 4096;
// What may wait for the disk at a time: more is refused, so that a slow disk costs no memory. Also
// how far behind a torn record recovery looks for others (recovery.cc).
constexpr uint64_t kMaxUnwritten = 64u << 20;
// A caller writes at most so much, so many times in a row; the committer takes over where more
// collects, and for a while after a write that took long: then the disk is behind, and what waits
// for it must not be a thread that others need.
constexpr uint64_t kCallerBytes = 16u << 10;
constexpr int kCallerTurns = 32;
constexpr std::chrono::milliseconds kLongWrite{2};
constexpr std::chrono::milliseconds kCallersPause{100};
// Under ASYNC_FLUSH the kernel is asked to write out in such steps instead of in one go: by the
// flusher, since the question waits for room in the queue of the disk.
constexpr uint64_t kWritebackStep = 8u << 20;

// Segments are multiples of it.
constexpr std::array<char, 4096> kZeroPage{};

uint64_t PayloadSize(const NewRecord& record) {
  uint64_t size = 0;
  for (std::string_view piece : record.payload) size += piece.size();
  return size;
}

void CopyPayload(const NewRecord& record, char* to) {
  for (std::string_view piece : record.payload) {
    if (!piece.empty()) std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  }
}

}  // namespace

Appender::Appender(const Options& options, SegmentSet& segments, ControlPage& control,
                   const Clock& clock)
    : options_(options),
      segments_(segments),
      control_(control),
      clock_(clock),
      written_(options.end),
      flushed_(options.end),
      confirmed_(options.replicated ? options.confirmed : options.end),
      writeback_asked_(options.end) {
  {
    MutexLock lock(mutex_);
    end_ = options.end;
    last_time_ = options.last_time;
    const std::shared_ptr<Segment> segment = segments_.Find(options.end);
    segment_begin_ = segment != nullptr ? segment->begin() : options.end;
    segment_end_ = segment != nullptr ? segment->end() : options.end + segments_.segment_size();
  }
  if (options_.replicated) {
    confirmer_.emplace(Confirmer::Options{options_.epoch, options_.boot_time, options_.end},
                       control_, confirmed_);
  }
  preparer_.emplace(
      segments_, [this] { return CurrentPlace(); }, "preparer");
  committer_ = std::thread([this] { CommitLoop(); });
  pthread_setname_np(committer_.native_handle(), "committer");
  flusher_ = std::thread([this] { FlushLoop(); });
  pthread_setname_np(flusher_.native_handle(), "flusher");
}

Appender::~Appender() {
  if (const absl::Status closed = Close(); !closed.ok()) {
    log::Error("the commit log did not close cleanly: {}", closed.ToString());
  }
}

LogOffset Appender::end() const {
  MutexLock lock(mutex_);
  return end_;
}

absl::Status Appender::health() const {
  MutexLock lock(mutex_);
  return health_;
}

absl::Status Appender::CheckRoom(std::span<const NewRecord> records) const {
  RETURN_IF_ERROR(health_);
  if (closing_) return absl::UnavailableError("the log is closed");
  if (end_ - written_.Get() > kMaxUnwritten) {
    return absl::ResourceExhaustedError(
        fmt::format("{} MiB wait for the disk already; slow down and try again",
                    (end_ - written_.Get()) >> 20));
  }
  if (confirmer_.has_value()) RETURN_IF_ERROR(CheckReplicas());
  const uint64_t largest = std::min<uint64_t>(kMaxRecordLength, segments_.segment_size());
  for (const NewRecord& record : records) {
    const uint64_t space = RecordSpace(PayloadSize(record));
    if (space > largest) {
      return absl::InvalidArgumentError(fmt::format(
          "a record of {} bytes does not fit a segment or the limit of {} bytes", space, largest));
    }
  }
  return absl::OkStatus();
}

absl::Status Appender::CheckReplicas() const {
  if (confirmer_->over()) return confirmer_->health();
  if (const uint64_t waiting = end_ - confirmed_.Get(); waiting > options_.max_unconfirmed_bytes) {
    return absl::ResourceExhaustedError(
        fmt::format("{} bytes wait for the replicas already; slow down and try again", waiting));
  }
  return absl::OkStatus();
}

absl::Status Appender::Append(std::span<const NewRecord> records, std::span<Appended> appended,
                              CommitWaiter* waiter, CommitBy by) {
  CHECK(records.size() == appended.size());
  absl::InlinedVector<Prepared, 4> prepared(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    const uint64_t size = PayloadSize(records[i]);
    if (size <= kLargePayload || size > kMaxRecordLength) continue;
    prepared[i].bytes = std::make_unique_for_overwrite<char[]>(RecordSpace(size));
    CopyPayload(records[i], prepared[i].bytes.get() + kRecordHeaderSize);
    prepared[i].crc = Crc32c({prepared[i].bytes.get() + kRecordHeaderSize, size});
  }
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckRoom(records));
  last_time_ = std::max(last_time_, clock_.Now());
  for (size_t i = 0; i < records.size(); ++i) {
    Place(records[i], PayloadSize(records[i]), std::move(prepared[i]), appended[i]);
  }
  if (waiter != nullptr) {
    waiter->next_ = nullptr;
    (last_waiter_ == nullptr ? first_waiter_ : last_waiter_->next_) = waiter;
    last_waiter_ = waiter;
  }
  // Whoever has the turn looks again.
  if (by == CommitBy::kCommitter && !turn_taken_) WakeCommitter();
  return absl::OkStatus();
}

void Appender::CommitHere() {
  {
    MutexLock lock(mutex_);
    if (turn_taken_ || !SomethingCollected()) return;
    if (!CallerMayCommit()) return WakeCommitter();
    TakeTurn();
  }
  CommitAsCaller();
}

RecordHeader Appender::MakeHeader(RecordKind kind, uint64_t payload_size) {
  RecordHeader header;
  header.length = static_cast<uint32_t>(kRecordHeaderSize + payload_size);
  header.kind = kind;
  header.epoch = options_.epoch;
  header.log_offset = end_;
  header.store_time = last_time_;
  header.unflushed = static_cast<uint32_t>(
      std::min<uint64_t>((end_ - flushed_.Get()) / kRecordAlignment, UINT32_MAX));
  return header;
}

char* Appender::Reserve(uint64_t space) {
  const bool fits = !blocks_.empty() && blocks_.back().capacity - blocks_.back().used >= space &&
                    blocks_.back().begin + blocks_.back().used == end_ &&
                    blocks_.back().begin >= segment_begin_;  // never over the end of a segment
  if (!fits) {
    Block block;
    if (space <= kBlockSize && !free_.empty()) {
      block = std::move(free_.back());
      free_.pop_back();
    } else {
      block.capacity = std::max<size_t>(space, kBlockSize);
      block.bytes = std::make_unique_for_overwrite<char[]>(block.capacity);
    }
    block.begin = end_;
    block.used = 0;
    blocks_.push_back(std::move(block));
  }
  char* place = blocks_.back().bytes.get() + blocks_.back().used;
  blocks_.back().used += space;
  return place;
}

void Appender::PadSegment() {
  const uint64_t rest = segment_end_ - end_;
  if (rest >= kRecordHeaderSize) {
    EncodeHeader(MakeHeader(RecordKind::kPadding, 0), 0, Reserve(kRecordHeaderSize));
  }
  // What is left behind the padding record is not written: readers go to the next segment.
  end_ = segment_end_;
  segment_begin_ = segment_end_;
  // One prepared by an earlier run may have another size than those that are made now.
  const std::shared_ptr<Segment> next = segments_.Find(segment_begin_);
  segment_end_ = next != nullptr ? next->end() : segment_begin_ + segments_.segment_size();
  preparer_->Look();
}

void Appender::Place(const NewRecord& record, uint64_t payload_size, Prepared prepared,
                     Appended& appended) {
  const uint64_t space = RecordSpace(payload_size);
  while (segment_end_ - end_ < space) PadSegment();  // twice if an older, smaller segment follows
  RecordHeader header = MakeHeader(record.kind, payload_size);
  header.flags = record.flags;
  header.queue = record.queue;
  header.queue_offset = record.tail != nullptr ? record.tail->next : record.queue_offset;
  header.properties_offset = record.properties_offset;
  if (record.tail != nullptr) ++record.tail->next;
  char* place = nullptr;
  if (prepared.bytes != nullptr) {
    Block block;
    block.begin = end_;
    block.used = space;
    block.capacity = space;
    block.bytes = std::move(prepared.bytes);
    place = block.bytes.get();
    blocks_.push_back(std::move(block));
    EncodeHeader(header, prepared.crc, place);
  } else {
    place = Reserve(space);
    CopyPayload(record, place + kRecordHeaderSize);
    EncodeHeaderBeforePayload(header, place);
  }
  std::memset(place + header.length, 0, space - header.length);
  appended = {end_, header.queue_offset, header.store_time};
  const uint64_t half = segment_begin_.value() + (segment_end_ - segment_begin_) / 2;
  if (end_.value() < half && end_.value() + space >= half) preparer_->Look();
  end_ += space;
}

bool Appender::CallerMayCommit() const {
  return options_.flush_mode == FlushMode::kAsync && end_ - written_.Get() <= kCallerBytes &&
         std::chrono::steady_clock::now() >= callers_from_;
}

void Appender::WakeCommitter() {
  if (!committer_sleeps_) return;
  committer_sleeps_ = false;
  work_.Signal();
}

void Appender::TakeTurn() {
  turn_taken_ = true;
  batch_.blocks.swap(blocks_);
  batch_.waiters = std::exchange(first_waiter_, nullptr);
  last_waiter_ = nullptr;
  batch_.end = end_;
}

void Appender::PassTurn() {
  for (Block& block : batch_.blocks) {
    if (block.capacity == kBlockSize && free_.size() < kFreeBlocks) {
      free_.push_back(std::move(block));
    }
  }
  batch_.blocks.clear();
  turn_taken_ = false;
}

std::chrono::nanoseconds Appender::CommitBatch() {
  absl::Status status = health();
  const auto begun = std::chrono::steady_clock::now();
  if (status.ok()) {
    status = Commit(batch_);
    if (!status.ok()) Fail(status);
  }
  const auto took = std::chrono::steady_clock::now() - begun;
  if (status.ok() && confirmer_.has_value()) {
    confirmer_->OnDurable(batch_.end, batch_.waiters);
  } else {
    Tell(batch_.waiters, status.ok() ? status : health());
  }
  return took;
}

void Appender::CommitLoop() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (turn_taken_ || (!SomethingCollected() && !closing_)) {
        committer_sleeps_ = true;
        work_.Wait(mutex_);
      }
      committer_sleeps_ = false;
      if (!SomethingCollected()) return;
      TakeTurn();
    }
    CommitBatch();
    MutexLock lock(mutex_);
    PassTurn();
  }
}

void Appender::CommitAsCaller() {
  for (int turn = 1;; ++turn) {
    const std::chrono::nanoseconds took = CommitBatch();
    MutexLock lock(mutex_);
    PassTurn();
    if (took > kLongWrite) callers_from_ = std::chrono::steady_clock::now() + kCallersPause;
    if (closing_ || (SomethingCollected() && (turn == kCallerTurns || !CallerMayCommit()))) {
      return WakeCommitter();
    }
    if (!SomethingCollected()) return;
    TakeTurn();
  }
}

absl::Status Appender::Commit(const Batch& batch) {
  // Runs of neighbouring blocks of one segment, in one call each.
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i < batch.blocks.size();) {
    const LogOffset begin = batch.blocks[i].begin;
    std::shared_ptr<Segment> segment = segments_.Find(begin);
    if (segment == nullptr) {
      // Only ever at the beginning of a segment that nobody prepared in time.
      ASSIGN_OR_RETURN(segment, segments_.FindOrMake(begin));
    }
    pieces.clear();
    LogOffset end = begin;
    for (; i < batch.blocks.size() && batch.blocks[i].begin == end && end < segment->end(); ++i) {
      pieces.emplace_back(batch.blocks[i].bytes.get(), batch.blocks[i].used);
      end += batch.blocks[i].used;
    }
    // Whole pages: the kernel need not read what stands behind the end of the log to write a part
    // of one. It also wipes what a recycled segment holds there.
    const uint64_t beyond = (end - segment->begin()) % kZeroPage.size();
    if (beyond != 0 && end < segment->end()) {
      pieces.emplace_back(kZeroPage.data(), kZeroPage.size() - beyond);
    }
    const auto begun = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(segment->Write(begin, pieces));
    times_.writes.Record(std::chrono::steady_clock::now() - begun);
  }
  control_.SetAppended(batch.end);
  if (options_.replicated) control_.for_replicator().Ring();
  written_.Advance(batch.end);
  if (options_.flush_mode == FlushMode::kSync) {
    MutexLock flush(flush_mutex_);
    RETURN_IF_ERROR(SyncOrFail(batch.end));
  } else if (batch.end - writeback_asked_ >= kWritebackStep) {
    writeback_asked_ = batch.end;
    MutexLock lock(mutex_);
    writeback_due_ = true;
    background_.SignalAll();
  }
  if (!options_.replicated) confirmed_.Advance(batch.end);
  return absl::OkStatus();
}

absl::Status Appender::SyncOrFail(LogOffset target) {
  // Somebody else's sync may have failed meanwhile: one that succeeds after it proves nothing.
  RETURN_IF_ERROR(health());
  const absl::Status synced = SyncUpTo(target);
  if (synced.ok()) return synced;
  Fail(synced);  // before anybody else may sync
  return health();
}

absl::Status Appender::SyncUpTo(LogOffset target) {
  LogOffset at = flushed_.Get();
  while (at < target) {
    const std::shared_ptr<Segment> segment = segments_.FindFrom(at);
    if (segment == nullptr || segment->begin() >= target) break;
    const auto begun = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(segment->Sync());
    times_.syncs.Record(std::chrono::steady_clock::now() - begun);
    at = segment->end();
  }
  control_.SetFlushed(target);
  if (options_.replicated) control_.for_replicator().Ring();
  flushed_.Advance(target);
  return absl::OkStatus();
}

absl::Status Appender::FlushUpTo(LogOffset offset) {
  for (;;) {
    RETURN_IF_ERROR(health());
    if (flushed_.Get() >= offset) return absl::OkStatus();
    const LogOffset written = written_.Get();
    if (written < offset) {
      written_.WaitAbove(written, std::chrono::milliseconds(100));
      if (written_.closed() && written_.Get() < offset) {
        return absl::UnavailableError("the log was closed before it got there");
      }
      continue;
    }
    MutexLock flush(flush_mutex_);
    if (flushed_.Get() >= offset) return absl::OkStatus();
    RETURN_IF_ERROR(SyncOrFail(written_.Get()));
  }
}

void Appender::Tell(CommitWaiter* waiters, const absl::Status& status) {
  while (waiters != nullptr) {
    // The waiter may be gone as soon as it has been told.
    CommitWaiter* next = waiters->next_;
    waiters->OnCommitted(status);
    waiters = next;
  }
}

void Appender::Fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!health_.ok()) return;
  health_ = absl::UnavailableError(fmt::format(
      "the log takes no more: {}. What was acknowledged is safe; restart once the disk works",
      FromAbsl(status.message())));
  log::Critical("{}", FromAbsl(health_.message()));
}

void Appender::FlushLoop() {
  auto next_flush = std::chrono::steady_clock::now() + options_.flush_interval;
  LogOffset writeback_from = written_.Get();
  for (;;) {
    bool flush = false;
    {
      MutexLock lock(mutex_);
      while (!stopping_background_ && !writeback_due_ &&
             std::chrono::steady_clock::now() < next_flush) {
        background_.WaitUntil(mutex_, next_flush);
      }
      if (stopping_background_) return;
      // A flush that is due goes first: under load, writeback is due again as soon as it is done.
      const auto now = std::chrono::steady_clock::now();
      flush = now >= next_flush;
      if (flush) next_flush = now + options_.flush_interval;
      writeback_due_ = false;
      if (!health_.ok()) continue;
    }
    const LogOffset written = written_.Get();
    if (flush) {
      // An error is remembered by the appender itself.
      FlushUpTo(written).IgnoreError();
    } else {
      StartWriteback(writeback_from, written);
    }
    writeback_from = written;
  }
}

void Appender::StartWriteback(LogOffset from, LogOffset end) {
  while (from < end) {
    const std::shared_ptr<Segment> segment = segments_.FindFrom(from);
    if (segment == nullptr || segment->begin() >= end) return;
    from = std::max(from, segment->begin());
    const LogOffset to = std::min(end, segment->end());
    segment->StartWriteback(from, to - from);
    from = to;
  }
}

SegmentPreparer::Place Appender::CurrentPlace() const {
  MutexLock lock(mutex_);
  return {end_, segment_begin_, segment_end_, segments_.segment_size()};
}

absl::Status Appender::Close() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    work_.Signal();
  }
  if (!committer_.joinable()) return health();
  committer_.join();
  absl::Status status = FlushUpTo(end());
  {
    MutexLock lock(mutex_);
    stopping_background_ = true;
    background_.SignalAll();
  }
  flusher_.join();
  preparer_->Stop();
  if (confirmer_.has_value()) confirmer_->Close();
  written_.Close();
  flushed_.Close();
  confirmed_.Close();
  return status;
}

}  // namespace dunlin::store
