// Amounts as people write them in resources: lengths of time, sizes, moments. Pure; any thread.
//
// The API server has checked their form (operator/crds). What is not of it, or too large to be
// held, is INVALID_ARGUMENT, with the text.

#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

#include "operator/k8s/json.h"
#include "services/base/clock.h"

namespace dunlin::op {

// "1h30m", "500ms": whole hours, minutes, seconds and milliseconds.
absl::StatusOr<std::chrono::milliseconds> MillisOf(std::string_view duration);

// A Kubernetes quantity: 10, "10Gi", "1.5M", "2e6". Fractions of a byte are rounded up.
absl::StatusOr<uint64_t> BytesOf(const k8s::Json& quantity);

// RFC 3339: "2026-11-20T22:00:00Z".
absl::StatusOr<Timestamp> MomentOf(std::string_view time);

}  // namespace dunlin::op
