// VolumeGrowth: asks for larger volumes of one resource, as planned (planner/volumes.h), and
// remembers that the API server has refused them. Not thread-safe.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "operator/controller/writer.h"
#include "operator/k8s/event_recorder.h"
#include "operator/k8s/json.h"
#include "operator/planner/plan.h"
#include "services/base/clock.h"

namespace dunlin::op {

class VolumeGrowth {
 public:
  // Why the API server does not let the claims of `resource` grow to the size that is asked for,
  // when it was asked within the last minutes. Empty: it was not, or does.
  std::string RefusalOf(const k8s::Json& resource, Timestamp now) const;

  // Whether all that could be asked for was: false, it was refused, which the next look shows.
  // Either is told in Events of `resource`. An error: it is to be tried again.
  absl::StatusOr<bool> Ask(const k8s::Json& resource, const std::vector<Plan::Growth>& growths,
                           const Writer& writer, k8s::EventRecorder& events, Timestamp now);

 private:
  k8s::Json refused_;  // a size
  std::string why_;
  Timestamp at_{};
};

}  // namespace dunlin::op
