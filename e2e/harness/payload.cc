#include "e2e/harness/payload.h"

#include <fmt/format.h>

#include <cstring>

#include "services/base/check.h"

namespace dunlin::e2e {

namespace {

// SplitMix64: every state gives unrelated output.
uint64_t Mix(uint64_t state) {
  state += 0x9e3779b97f4a7c15;
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
  state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
  return state ^ (state >> 31);
}

}  // namespace

void FillPayload(Identity identity, size_t size, std::string& payload) {
  CHECK(size >= kMinPayloadBytes);
  payload.resize(size);
  std::memcpy(payload.data(), &identity.producer, 4);
  std::memcpy(payload.data() + 4, &identity.sequence, 4);
  const uint64_t seed = Mix((uint64_t{identity.producer} << 32 | identity.sequence) ^ size);
  for (size_t at = 8; at < size; at += 8) {
    const uint64_t word = Mix(seed + at);
    std::memcpy(payload.data() + at, &word, std::min<size_t>(8, size - at));
  }
}

std::optional<Identity> ReadPayload(std::string_view payload) {
  if (payload.size() < kMinPayloadBytes) return std::nullopt;
  Identity identity;
  std::memcpy(&identity.producer, payload.data(), 4);
  std::memcpy(&identity.sequence, payload.data() + 4, 4);
  std::string expected;
  FillPayload(identity, payload.size(), expected);
  if (payload != expected) return std::nullopt;
  return identity;
}

std::string MessageIdOf(Identity identity) {
  return fmt::format("01{:016X}{:08X}{:08X}", 0x0242AC11000200FFu, identity.producer,
                     identity.sequence);
}

}  // namespace dunlin::e2e
