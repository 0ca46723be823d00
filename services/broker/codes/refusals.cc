#include "services/broker/codes/refusals.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "services/base/check.h"

namespace dunlin::broker {
namespace {

// More than the contract has; checked when a code is looked up.
constexpr size_t kCodesMax = 128;
std::array<std::atomic<uint64_t>, kCodesMax> counts = {};

}  // namespace

void CountRefusal(PublicCode code) {
  const std::span<const PublicCodeInfo> codes = PublicCodes();
  const auto found = std::ranges::lower_bound(codes, code, {}, &PublicCodeInfo::code);
  const auto index = static_cast<size_t>(found - codes.begin());
  CHECK(found != codes.end() && found->code == code && index < kCodesMax);
  counts[index].fetch_add(1, std::memory_order_relaxed);
}

std::vector<std::pair<PublicCode, uint64_t>> Refusals() {
  std::vector<std::pair<PublicCode, uint64_t>> refusals;
  const std::span<const PublicCodeInfo> codes = PublicCodes();
  for (size_t i = 0; i < codes.size(); ++i) {
    const uint64_t count = counts[i].load(std::memory_order_relaxed);
    if (count != 0) refusals.emplace_back(codes[i].code, count);
  }
  return refusals;
}

}  // namespace dunlin::broker
