// Intake: what producers have sent and the broker has not answered yet, bounded in number and in
// bytes. Beyond the bounds a request is turned away before anybody looks into it.
//
// Streams fill seven eighths of it: their credits together go far beyond it, and a producer that
// sends one call at a time must get in beside them.
//
// A Place is held from a request's first byte that is looked at to its answer. Thread-safe, without
// locks; two atomic additions a request.

#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"

#include "services/base/clock.h"

namespace dunlin::broker {

class Intake {
 public:
  struct Limits {
    uint64_t requests = 4096;
    uint64_t bytes = 64u << 20;  // a single larger request is taken when nothing else is there
  };

  enum class Source { kCall, kStream };

  // What one request takes, until it goes out of scope.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : intake_(std::exchange(other.intake_, nullptr)),
          bytes_(other.bytes_),
          since_(other.since_) {}
    Place& operator=(Place&& other) noexcept;
    ~Place() { Leave(); }

   private:
    friend class Intake;
    Place(Intake& intake, uint64_t bytes, Timestamp since)
        : intake_(&intake), bytes_(bytes), since_(since) {}
    void Leave();

    Intake* intake_ = nullptr;
    uint64_t bytes_ = 0;
    Timestamp since_;
  };

  // `clock` must outlive the intake, which must outlive its places.
  Intake(const Limits& limits, const Clock& clock);

  // TOO_MANY_REQUESTS, with the time after which there may be room (RetryAfterOf), when it is full.
  absl::StatusOr<Place> Enter(Source source, uint64_t bytes);

  struct Counts {
    uint64_t requests = 0;  // in it now
    uint64_t bytes = 0;
    uint64_t refused = 0;  // since the start
  };
  Counts counts() const;

 private:
  absl::Status Refusal();
  void Leave(uint64_t bytes, Timestamp since);

  const Limits limits_;
  const Clock& clock_;
  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> refused_{0};
  // What the last that left had stayed, and when that was; milliseconds.
  std::atomic<int64_t> last_stay_{0};
  std::atomic<int64_t> last_left_;
};

}  // namespace dunlin::broker
