// Which of several brokers a key belongs to: the one with the highest score. When a broker comes or
// goes, only the keys that it has, or gets, are elsewhere.

#pragma once

#include <cstdint>
#include <string_view>

#include "services/base/crc32c.h"

namespace dunlin::internal {

// The finalizer of splitmix64: all bits of the result depend on all of `x`.
inline uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

inline uint64_t BrokerHash(std::string_view name) { return Mix(Crc32c(name)); }

inline uint64_t Score(uint64_t broker_hash, uint32_t key_hash) {
  return Mix(broker_hash ^ key_hash);
}

}  // namespace dunlin::internal
