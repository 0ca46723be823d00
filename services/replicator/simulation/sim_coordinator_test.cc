// The simulated coordinator keeps what real ones promise.
#include "services/replicator/simulation/sim_coordinator.h"

#include <chrono>
#include <functional>
#include <memory>

#include "gtest/gtest.h"

#include "services/replicator/coordinator/testing/conformance.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SimSetting {
 public:
  std::unique_ptr<Coordinator> Connect(const MemberName& member) {
    return coordinator_.Connect({.place = 0,
                                 .member = member,
                                 .clock = [this] { return world_.now(); },
                                 .deliver = [](const std::function<void()>& input) { input(); },
                                 .faults = {}});
  }
  bool Await(const std::function<bool()>& condition) {
    const Instant deadline = world_.now() + seconds(30);
    while (!condition()) {
      if (world_.now() > deadline) return false;
      world_.RunUntil(world_.now() + milliseconds(1));
    }
    return true;
  }
  void Pass(Duration time) { world_.RunUntil(world_.now() + time); }
  Duration Ttl() const { return seconds(8); }
  void UseShortLeases() {}  // all are of simulated time

 private:
  simulation::World world_{1};
  simulation::SimCoordinator coordinator_{world_, seconds(8)};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, CoordinatorConformance, SimSetting);

}  // namespace
}  // namespace dunlin::replicator
