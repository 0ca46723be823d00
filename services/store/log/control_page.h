// ControlPage: the 4 KiB page that broker and replicator of one store directory share.
//
// Atomics in a mapped file, each group of them with one writer and a cache line of its own:
//   the log    written by whoever holds the lock of the store: CommitLog in the broker of a master,
//              LogMirror in the replicator of a slave;
//   orders     written by the replicator: which role, how far the replicas are, until when;
//   answers    written by the broker: what it has carried out.
// Whoever changes one of them rings the bell of the other side; whoever waits looks at the bell
// first, then at what it waits for, then waits for the bell to differ: no wake-up is lost, and
// ringing costs no system call while nobody waits. A process that dies while it waits costs one
// needless wake-up.
//
// The page survives the process that wrote it but is not synced: after a loss of power it may be an
// older one. `appended` and `flushed` only grow, so an older page is a lower bound and still true;
// the one exception, a log that is cut back, is synced first (LowerFlushed). Orders hold for one
// boot of the machine only, since a lease is a time of its clock: those of an earlier boot read as
// none. docs/formats/control_page.md.
//
// Thread-safe. Several objects, in one process or in several, may map the same page.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

// Numbers are on the page.
enum class Role : uint8_t {
  kNone = 0,    // the broker shall have no log open
  kSlave = 1,   // LogFollower
  kMaster = 2,  // CommitLog, in the epoch that comes with it
};

enum class BrokerState : uint8_t {
  kStopped = 0,  // no log is open: the replicator may write it
  kSlave = 1,
  kMaster = 2,
  kFailed = 3,  // could not carry the order out; its log says why
};

// Whether a master takes new messages.
enum class Sends : uint8_t {
  kNobodySaid = 0,
  kAccepted = 1,
  kTooFewInSync = 2,
  kSwitchover = 3,  // what is under way is finished first
};

// What the replicator wants of the broker. `serial` grows with each new wish.
struct Wanted {
  Role role = Role::kNone;
  Epoch epoch;
  uint32_t serial = 0;  // below 2^24, then from 1 again: compare for equality

  friend bool operator==(const Wanted&, const Wanted&) = default;
};

struct Reported {
  BrokerState state = BrokerState::kStopped;
  uint32_t serial = 0;  // of the wish that led to it

  friend bool operator==(const Reported&, const Reported&) = default;
};

// What the member is within its group, whoever is master.
struct MemberStanding {
  uint32_t id = 0;  // to name services; 0: nobody has said
  bool learner = false;

  friend bool operator==(const MemberStanding&, const MemberStanding&) = default;
};

// A word that two processes wait on. Ring() ends every wait that began with an older Look().
class Bell {
 public:
  uint32_t Look() const { return word_.load(std::memory_order_seq_cst) & ~kSomebodyWaits; }
  void Ring();
  // Returns when the bell has been rung since `looked`, or `timeout` passed; perhaps earlier.
  void Wait(uint32_t looked, std::chrono::nanoseconds timeout);

 private:
  static constexpr uint32_t kSomebodyWaits = 1;
  std::atomic<uint32_t> word_;
};

class ControlPage {
 public:
  static constexpr LogOffset kEverything{UINT64_MAX};             // for SetReplicated
  static constexpr std::chrono::nanoseconds kNoLease{INT64_MAX};  // for SetLeaseUntil

  // Opens or makes the page. One that is not ours (wrong magic, size, format or check sum) is made
  // anew: it holds nothing that the log and the coordinator do not.
  static absl::StatusOr<std::unique_ptr<ControlPage>> Open(FileSystem& files,
                                                           const std::string& path);
  // The same for looking only: no setter may be called. NOT_FOUND when there is no page,
  // FAILED_PRECONDITION when it is none of this version.
  static absl::StatusOr<std::unique_ptr<ControlPage>> OpenForReading(FileSystem& files,
                                                                     const std::string& path);
  ~ControlPage();
  ControlPage(const ControlPage&) = delete;
  ControlPage& operator=(const ControlPage&) = delete;

  // --- The log: for the holder of the store's lock to write, for all to read.

  Epoch log_epoch() const { return Epoch(static_cast<uint32_t>(page_->log.epoch.load())); }
  LogOffset log_start() const { return LogOffset(page_->log.start.load()); }
  // What is below has been written (pwrite returned), and may be read from the files.
  LogOffset appended() const { return LogOffset(page_->log.appended.load()); }
  // What is below is on disk. Two copies, of which the lower is believed, so that a flipped bit
  // cannot promise what is not.
  LogOffset flushed() const {
    return LogOffset(std::min(page_->log.flushed.load(), page_->log.flushed_again.load()));
  }
  // Grows before and after what had been confirmed is cut off the log (LogMirror::TruncateTo,
  // Reset): a view that was built before, or opened in between, holds what is no more.
  uint64_t cuts() const { return page_->log.cuts.load(); }

  // These do not ring: who writes knows when somebody else should look.
  void SetLogEpoch(Epoch epoch) { page_->log.epoch.store(epoch.value()); }
  void SetLogStart(LogOffset offset) { page_->log.start.store(offset.value()); }
  void SetAppended(LogOffset offset) { page_->log.appended.store(offset.value()); }
  void SetFlushed(LogOffset offset) {
    page_->log.flushed.store(offset.value());
    page_->log.flushed_again.store(offset.value());
  }
  // Before a log is cut back: on disk when it returns.
  absl::Status LowerFlushed(LogOffset offset);
  void CountCut() { page_->log.cuts.fetch_add(1); }

  // --- Orders: for the replicator to write. Each setter rings for the broker.

  // First of all, once per process: forgets the orders of an earlier one. No role, nothing
  // accepted, lease over; `replicated` and `master_start` are 0.
  void BeginOrders();
  // Returns the serial that the broker will report when it is done. Everything that goes with the
  // role (replicated, lease, sends) is set before; for a demotion, lease and sends are taken away
  // before, `replicated` is lowered after the broker has reported.
  uint32_t Want(Role role, Epoch epoch);
  // Everything below is confirmed as the mode of the group wants it; kEverything under ASYNC.
  void SetReplicated(LogOffset offset);
  // A master may acknowledge while BootTime() is below it.
  void SetLeaseUntil(std::chrono::nanoseconds boot_time);
  void SetSends(Sends sends);
  // The first offset that the master of this slave still holds.
  void SetMasterStart(LogOffset offset);
  // Holds until it is set anew, also for later processes.
  void SetMember(MemberStanding member);

  Wanted wanted() const;
  LogOffset replicated() const;
  std::chrono::nanoseconds lease_until() const;
  Sends sends() const;
  LogOffset master_start() const;
  MemberStanding member() const;

  // --- Answers: for the broker to write. Each setter rings for the replicator.

  void Report(Reported reported);
  // Everything below is in the view on disk: the replicator of a slave may drop segments that end
  // below it and below `master_start`.
  void SetViewed(LogOffset offset);
  // Readers may have seen everything below, of the log as it has been since `cuts` was read; does
  // not ring. Stays what it was when that was more.
  void SetShown(LogOffset offset, uint64_t cuts);
  // For who opens the log to write, while no reader has it open.
  void LowerShown(LogOffset offset) { page_->answers.shown.store(offset.value()); }
  // Grows while the broker is well; how often is agreed on elsewhere.
  void Beat();

  Reported reported() const;
  // Of the log as it is: 0 when something was cut off it since, until readers open it again.
  LogOffset shown() const {
    const bool of_this_log = page_->answers.shown_at.load() == cuts();
    return of_this_log ? LogOffset(page_->answers.shown.load()) : LogOffset(0);
  }
  LogOffset viewed() const { return LogOffset(page_->answers.viewed.load()); }
  uint64_t heartbeat() const { return page_->answers.heartbeat.load(); }

  // --- Waiting.

  Bell& for_broker() { return page_->for_broker; }
  Bell& for_replicator() { return page_->for_replicator; }

  // The layout: what follows the constant part of the page (docs/formats/control_page.md).
  struct alignas(64) Log {
    std::atomic<uint64_t> epoch;
    std::atomic<uint64_t> start;
    std::atomic<uint64_t> appended;
    std::atomic<uint64_t> flushed;
    std::atomic<uint64_t> flushed_again;
    std::atomic<uint64_t> cuts;
  };
  struct alignas(64) Orders {
    std::atomic<uint64_t> boot;    // of the machine, in which the orders were given
    std::atomic<uint64_t> wanted;  // epoch, 32 bits, above role, 8 bits, above serial, 24 bits
    std::atomic<uint64_t> replicated;
    std::atomic<int64_t> lease_until;
    std::atomic<uint64_t> sends;
    std::atomic<uint64_t> master_start;
    std::atomic<uint64_t> member;  // id, 32 bits, below whether it is a learner
  };
  struct alignas(64) Answers {
    std::atomic<uint64_t> reported;  // state above serial, 24 bits
    std::atomic<uint64_t> viewed;
    std::atomic<uint64_t> shown;
    std::atomic<uint64_t> heartbeat;
    std::atomic<uint64_t> shown_at;  // Log::cuts of the log that `shown` is of
  };
  struct Page {
    Log log;
    Orders orders;
    Answers answers;
    alignas(64) Bell for_broker;
    alignas(64) Bell for_replicator;
  };

 private:
  ControlPage(char* map, std::unique_ptr<File> file, uint64_t boot);
  bool OrdersAreOfThisBoot() const { return page_->orders.boot.load() == boot_; }

  char* const map_;
  const std::unique_ptr<File> file_;
  const uint64_t boot_;
  Page* const page_;
};

}  // namespace dunlin::store
