// Operator: caches, queue, controllers and leader election of one operator, joined.
//
// From the start it watches, so that one that waits to lead is warm; it works while it leads.
// Whoever has lost leadership ends the process at once: no one can say what its threads are about
// to do.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "operator/k8s/credentials.h"
#include "operator/k8s/object.h"
#include "operator/planner/objects.h"
#include "services/base/clock.h"

namespace prometheus {
class Collectable;
class Registry;
}  // namespace prometheus

namespace dunlin::config::v1 {
class OperatorConfig;
}  // namespace dunlin::config::v1

namespace dunlin::op {

class Operator {
 public:
  struct Options {
    k8s::ApiServer server;
    std::string identity;             // of this process: no other, before or after, has the same
    std::function<void()> on_synced;  // on the loop's thread, once: all that is watched is known
  };

  // `config`, `registry` and `clock` outlive this.
  Operator(const config::v1::OperatorConfig& config, Options options,
           prometheus::Registry& registry, const Clock& clock);
  ~Operator();
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;

  void Start();
  // Ends what is under way, gives leadership back, and ends all calls. Idempotent.
  void Stop();

  // For prometheus; may be asked after this is gone.
  std::shared_ptr<prometheus::Collectable> metrics() const;

 private:
  class Rooms;

  std::shared_ptr<Rooms> rooms_;
};

}  // namespace dunlin::op
