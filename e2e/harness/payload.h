// Payloads that say who sent them, and whose every byte follows from that: a reader can tell a
// changed, invented or misplaced message without having kept what was sent.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dunlin::e2e {

// The `sequence`-th send of one producer; producers send one after the other.
struct Identity {
  uint32_t producer = 0;
  uint32_t sequence = 0;

  friend bool operator==(const Identity&, const Identity&) = default;
};

inline constexpr size_t kMinPayloadBytes = 16;

// Fills `payload` with `size` bytes, incompressible behind the first eight. REQUIRES: size >=
// kMinPayloadBytes.
void FillPayload(Identity identity, size_t size, std::string& payload);

// Whose payload this is; nothing when any byte differs from what that sender sent.
std::optional<Identity> ReadPayload(std::string_view payload);

// 34 characters, as the official clients make them.
std::string MessageIdOf(Identity identity);

}  // namespace dunlin::e2e
