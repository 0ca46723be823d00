// ControlPlane: a real etcd and kube-apiserver, and on demand a kube-controller-manager, in a
// directory of their own.
//
// The programs are those that ./dev kube has built; where they are not there the test ends and says
// so. Killed with the object. One thread at a time.

#pragma once

#include <string>
#include <vector>

#include "operator/k8s/credentials.h"
#include "operator/k8s/testing/child_process.h"
#include "services/base/clock.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::k8s {

class ControlPlane {
 public:
  ControlPlane();  // returns when the API server is ready
  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;

  // Of a user who may do everything.
  ApiServer Admin() const;
  const std::string& kubeconfig() const { return kubeconfig_; }
  std::string Kubectl(const std::vector<std::string>& arguments, bool may_fail = false);

  const std::string& etcd_url() const { return etcd_url_; }  // http, with its JSON gateway

  void KillApiServer() { api_server_.Kill(); }
  // On the same port.
  void StartApiServer();
  // Owners' garbage, StatefulSets and the rest.
  void StartControllers();

  // The last lines of what a program wrote: "kube-apiserver".
  std::string LogOf(const std::string& program) const;

 private:
  void StartEtcd();
  void WaitUntilReady() const;
  std::string LogPath(const std::string& program) const;

  SystemClock clock_;
  TempDir directory_;
  std::string etcd_url_;
  std::string etcd_peer_url_;
  int port_ = 0;
  int kubectl_calls_ = 0;
  std::string account_key_;  // signs tokens of service accounts
  std::string kubeconfig_;
  ChildProcess etcd_;
  ChildProcess api_server_;
  ChildProcess controllers_;
};

}  // namespace dunlin::k8s
