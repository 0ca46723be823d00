// Intake: what producers have sent and the broker has not answered yet, bounded in calls and in
// bytes. Beyond the bounds a request is turned away before anybody looks into it.
//
// Streams fill seven eighths of it: their credits together go far beyond it, and a producer that
// sends one call at a time must get in beside them.
//
// A Place is held from a request's first byte that is looked at to its answer. Thread-safe, without
// locks; an atomic addition or two a request.

#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"

#include "services/base/clock.h"

namespace dunlin::broker {

class Intake {
 public:
  struct Limits {
    uint64_t calls = 4096;       // what gRPC keeps of one is worth many small requests
    uint64_t bytes = 64u << 20;  // a single larger request is taken when nothing else is there
  };

  enum class Source { kCall, kStream };

  // What one request takes, until it goes out of scope.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : intake_(std::exchange(other.intake_, nullptr)),
          source_(other.source_),
          bytes_(other.bytes_),
          since_(other.since_) {}
    Place& operator=(Place&& other) noexcept;
    ~Place() { Leave(); }

   private:
    friend class Intake;
    Place(Intake& intake, Source source, uint64_t bytes, Timestamp since)
        : intake_(&intake), source_(source), bytes_(bytes), since_(since) {}
    void Leave();

    Intake* intake_ = nullptr;
    Source source_ = Source::kCall;
    uint64_t bytes_ = 0;
    Timestamp since_;
  };

  // OK, or why nothing at all is taken now. Thread-safe, cheap.
  using Gate = std::function<absl::Status()>;

  // `clock` must outlive the intake, which must outlive its places. No gate: always open.
  Intake(const Limits& limits, const Clock& clock, Gate gate = {});

  // What the gate says, or TOO_MANY_REQUESTS, with the time after which there may be room
  // (RetryAfterOf), when it is full.
  absl::StatusOr<Place> Enter(Source source, uint64_t bytes);

  struct Counts {
    uint64_t calls = 0;  // in it now
    uint64_t bytes = 0;
    uint64_t refused = 0;  // since the start
  };
  Counts counts() const;

 private:
  absl::Status Refusal();
  void GiveBack(Source source, uint64_t bytes);
  void Leave(const Place& place);

  const Limits limits_;
  const Clock& clock_;
  const Gate gate_;
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> refused_{0};
  // What the last that left had stayed, and when that was; milliseconds.
  std::atomic<int64_t> last_stay_{0};
  std::atomic<int64_t> last_left_;
};

}  // namespace dunlin::broker
