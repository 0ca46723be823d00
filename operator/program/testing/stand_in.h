// StandIn: what kubelets and members of groups would do, on a real API server without nodes.
//
// A thread makes pods ready, as they come, and writes the Leases of groups as their members would:
// the members are those of the configuration at first, then whom the operator adds; members that
// are ready are in sync, and the first of those is elected when there is no master. One replicator
// for all of them answers at 127.0.0.1:10912, which is every pod's address here.

#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "operator/k8s/client.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::op {

class StandIn {
 public:
  // `client` outlives this.
  StandIn(k8s::Client& client, std::string space, const Clock& clock);
  ~StandIn();
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  // Pods of which there were fewer ready than this at some moment, after the group had been whole.
  int LeastReady(const std::string& group) ABSL_LOCKS_EXCLUDED(mutex_);
  // From now on.
  void CountAnew(const std::string& group) ABSL_LOCKS_EXCLUDED(mutex_);
  // How often members were asked to hand over.
  int Switchovers() const { return switchovers_; }
  // By the group's record.
  std::set<std::string> Members(const std::string& group) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Replicator;
  struct Group {
    std::string master;
    int epoch = 0;
    std::set<std::string> members;
    std::set<std::string> in_sync;
    std::string written;  // the record, as written last
    int least_ready = 1000;
  };

  void Run();
  void Look();
  void MakeReady(const k8s::Json& pod);
  void Begin(const std::string& name, std::string_view listed) ABSL_LOCKS_EXCLUDED(mutex_);
  void Elect(const std::string& name, Group& group, const std::set<std::string>& ready)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteLease(const std::string& name, Group& group);

  k8s::Client& client_;
  const std::string space_;
  const Clock& clock_;
  std::unique_ptr<Replicator> replicator_;
  std::atomic<int> switchovers_{0};
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, Group> groups_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dunlin::op
