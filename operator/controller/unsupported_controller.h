// UnsupportedController: says in the status of resources that this operator does nothing for them
// yet, and what to do instead. Otherwise people would wait for what does not come.
//
// One that says so costs no request. Thread-safe; one thread at a time for a key.

#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

#include "operator/controller/caches.h"
#include "operator/controller/writer.h"
#include "operator/k8s/object.h"
#include "services/base/clock.h"

namespace dunlin::op {

class UnsupportedController {
 public:
  // All outlive this. `way_out`: for people.
  UnsupportedController(k8s::ResourceType type, std::string way_out, const Caches& caches,
                        const Writer& writer, const Clock& clock)
      : type_(std::move(type)),
        way_out_(std::move(way_out)),
        caches_(caches),
        writer_(writer),
        clock_(clock) {}

  // Never asks for another look: nothing changes by itself.
  absl::StatusOr<std::chrono::milliseconds> Reconcile(const k8s::ObjectKey& key);

 private:
  const k8s::ResourceType type_;
  const std::string way_out_;
  const Caches& caches_;
  const Writer& writer_;
  const Clock& clock_;
};

}  // namespace dunlin::op
