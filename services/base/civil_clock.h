// CivilClock: what the machine's clock shows now; for what is compared with the clocks of others.
//
// The one Clock that goes back when the machine's does: whoever sets a clock that was wrong wants
// to be believed at once, without starting anything anew.

#pragma once

#include "services/base/clock.h"

namespace dunlin {

// Thread-safe.
class CivilClock final : public Clock {
 public:
  Timestamp Now() const override {
    return std::chrono::time_point_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now());
  }
};

}  // namespace dunlin
