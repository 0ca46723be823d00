// FakeApiServer: an API server in memory, that answers at once: get, create, apply, merge patch,
// JSON patch, delete. What is in it goes to the caches when the test says so, as with a slow watch.
//
// Knows preconditions (UID, resourceVersion) and nothing of schemas. One thread.

#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/controller/caches.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/k8s/transport.h"

namespace dunlin::op {

class FakeApiServer final : public k8s::Transport {
 public:
  k8s::CallId Start(k8s::HttpRequest request, std::unique_ptr<k8s::HttpHandler> handler) override;
  void Cancel(k8s::CallId /*call*/) override {}

  // As a person, a controller or a kubelet would. Gives it a UID and a new resourceVersion.
  void Put(const k8s::ResourceType& type, k8s::Json object);
  void Remove(const k8s::ResourceType& type, const k8s::ObjectKey& key);
  // Null when there is none.
  k8s::Json Get(const k8s::ResourceType& type, const k8s::ObjectKey& key) const;

  // Brings the caches up to date.
  void Tell(Caches& caches, const std::vector<k8s::ResourceType>& types);

  // "PATCH pods/orders-0", since the last time this was asked.
  std::vector<std::string> TakeCalls() { return std::exchange(calls_, {}); }
  // Calls of these are answered with 403.
  void Refuse(const std::string& call) { refused_.insert(call); }
  void RefuseNothing() { refused_.clear(); }

 private:
  std::pair<int, k8s::Json> Answer(const k8s::HttpRequest& request, const std::string& path);
  std::pair<int, k8s::Json> Patch(const k8s::HttpRequest& request, const std::string& path,
                                  const k8s::Json& body);
  void Stamp(k8s::Json& object);

  std::map<std::string, k8s::Json> objects_;  // by path
  std::vector<std::string> calls_;
  std::set<std::string> refused_;
  int version_ = 0;
};

}  // namespace dunlin::op
