#include "services/replicator/transport/peers.h"

#include <gtest/gtest.h>

#include <memory>

#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::replicator {
namespace {

// Nobody listens at port 1.
std::unique_ptr<Peers> PeersThatAreAway(const Clock& clock) {
  return std::make_unique<Peers>(
      Identity{.group = "group", .member = "a", .others = {"b", "c"}, .secret = {}},
      std::map<MemberName, std::string>{{"b", "127.0.0.1:1"}, {"c", "127.0.0.1:1"}},
      Peers::Options{}, clock);
}

// The connections of both calls end in their callbacks, and nothing else of gRPC is there to keep
// its threads.
TEST(PeersTest, ConnectionsMayEndInCallbacks) {
  const SystemClock clock;
  for (int i = 0; i < 300; ++i) {
    const std::unique_ptr<Peers> peers = PeersThatAreAway(clock);
    peers->AskStates([](const MemberName&, const PeerState&) { FAIL() << "who answered?"; });
    if (i % 2 == 0) peers->Stop();
    peers->AskPromises(Epoch(1),
                       [](const MemberName&, const PromiseAnswer&) { FAIL() << "who answered?"; });
  }
}

}  // namespace
}  // namespace dunlin::replicator
