#include "services/broker/delivery/housekeeper.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "services/base/mutex.h"
#include "services/base/testing/manual_clock.h"
#include "services/broker/clients/client_registry.h"
#include "services/broker/progress/progress.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

TEST(HousekeeperTest, AClientThatIsBackWhileOthersGoHasNotGone) {
  store::StoreRig rig;
  rig.Open();
  Progress progress(ProgressOptions(), rig.state(), rig.clock());
  ClientRegistry clients(ClientRegistryOptions(), rig.clock());
  const std::vector<std::string> all = {"a", "b", "c"};
  for (const std::string& client : all) clients.Touch(client);
  Mutex mutex;
  std::vector<std::string> gone;
  Housekeeper::Hooks hooks;
  hooks.on_gone = [&](const std::string& client) {
    for (const std::string& other : all) {
      if (other != client) clients.Touch(other);
    }
    MutexLock lock(mutex);
    gone.push_back(client);
  };
  Housekeeper housekeeper(rig.log(), progress, clients, rig.clock(), hooks);
  rig.clock().Advance(std::chrono::seconds(121));
  const auto count = [&] {
    MutexLock lock(mutex);
    return gone.size();
  };
  while (count() == 0) std::this_thread::yield();
  housekeeper.Stop();  // its step is over then
  EXPECT_EQ(count(), 1u);
}

}  // namespace
}  // namespace dunlin::broker
