// Permit: what a call that takes long was allowed when it began. Users change: it is looked at
// again when they have, and costs one load when they have not. A value; one thread at a time.

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "services/base/status_macros.h"
#include "services/broker/access/access_control.h"

namespace dunlin::broker {

class Permit {
 public:
  // Of a call that needs none.
  Permit() = default;
  // `access` must outlive it.
  Permit(const AccessControl& access, Caller caller)
      : access_(&access), caller_(std::move(caller)) {}

  // Before the first Check.
  void Add(const Need& need) {
    needs_.push_back(
        {need.any_of, need.resource, std::string(need.name_space), std::string(need.name)});
  }

  // Errors as of AccessControl::Check.
  absl::Status Check() {
    if (access_ == nullptr) return absl::OkStatus();
    const uint64_t version = access_->version();
    if (version == checked_) return absl::OkStatus();
    for (const Kept& need : needs_) {
      RETURN_IF_ERROR(
          access_->Check(caller_, {need.any_of, need.resource, need.name_space, need.name}));
    }
    checked_ = version;
    return absl::OkStatus();
  }

 private:
  struct Kept {
    uint32_t any_of;
    ResourceKind resource;
    std::string name_space;
    std::string name;
  };

  const AccessControl* access_ = nullptr;
  Caller caller_;
  std::vector<Kept> needs_;
  uint64_t checked_ = 0;  // without access control there is no other version
};

}  // namespace dunlin::broker
