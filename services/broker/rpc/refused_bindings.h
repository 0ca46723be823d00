// RefusedBindings: numbers of a Publish stream that were to be bound and are not, and why.
//
// Frames need not wait for their binding: those that were on their way when it was refused are
// answered with its code. Not thread-safe.

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {

class RefusedBindings {
 public:
  // So many are remembered, those that were refused last. Far more than can be on its way.
  static constexpr size_t kMax = 65'536;

  void Add(uint32_t binding, PublicCode code) {
    refused_[binding] = {code, ++refusals_};
    in_order_.emplace_back(binding, refusals_);
    if (in_order_.size() <= kMax) return;
    const auto [oldest, refusal] = in_order_.front();
    in_order_.pop_front();
    auto found = refused_.find(oldest);
    // It may have been refused again since.
    if (found != refused_.end() && found->second.refusal == refusal) refused_.erase(found);
  }
  // It is being bound again.
  void Remove(uint32_t binding) { refused_.erase(binding); }

  std::optional<PublicCode> Find(uint32_t binding) const {
    auto found = refused_.find(binding);
    if (found == refused_.end()) return std::nullopt;
    return found->second.code;
  }

 private:
  struct Refused {
    PublicCode code = PublicCode::kUnspecified;
    uint64_t refusal = 0;
  };
  absl::flat_hash_map<uint32_t, Refused> refused_;
  std::deque<std::pair<uint32_t, uint64_t>> in_order_;  // some of them bound since
  uint64_t refusals_ = 0;
};

}  // namespace dunlin::broker
