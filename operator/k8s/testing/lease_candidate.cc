// One of several processes that want to lead: prints "leads", "lost" and "released".
//
// lease_candidate KUBECONFIG NAMESPACE NAME IDENTITY; SIGTERM gives the lease back.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "operator/k8s/curl_loop.h"
#include "operator/k8s/kubeconfig.h"
#include "operator/k8s/leader_elector.h"
#include "services/base/check.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/runtime/lifecycle.h"

namespace {

void Say(const char* word) {
  std::puts(word);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  using dunlin::k8s::LeaderElector;
  CHECK(argc == 5);
  dunlin::StopSignal stop;
  const dunlin::SystemClock clock;
  const auto server = dunlin::k8s::ReadKubeconfig(argv[1], "", clock);
  CHECK(server.ok(), dunlin::FromAbsl(server.status().message()));
  dunlin::k8s::CurlLoop loop(*server, "lease-candidate/1", clock);
  LeaderElector elector(
      loop, loop,
      {.lease = {argv[2], argv[3]},
       .identity = argv[4],
       .lease_duration = std::chrono::milliseconds(3000),
       .renew_deadline = std::chrono::milliseconds(2000),
       .retry_period = std::chrono::milliseconds(500),
       .on_started = [] { Say("leads"); },
       .on_lost =
           [] {
             Say("lost");
             std::_Exit(1);  // what its threads are still about to do, they do not
           },
       .on_other = {}});
  elector.Start();
  stop.Wait();
  dunlin::Mutex mutex;
  dunlin::CondVar changed;
  bool released = false;
  elector.Release([&] {
    dunlin::MutexLock lock(mutex);
    released = true;
    changed.Signal();
  });
  {
    dunlin::MutexLock lock(mutex);
    while (!released) changed.Wait(mutex);
  }
  Say("released");
  loop.Stop();
  return 0;
}
