// Little-endian integers in byte buffers, and the rounding that formats on disk need.

#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace dunlin {

static_assert(std::endian::native == std::endian::little, "formats on disk are little-endian");

// REQUIRES: `from` has sizeof(T) readable bytes.
template <typename T>
T LoadLittle(const void* from) {
  static_assert(std::is_integral_v<T>);
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// REQUIRES: `to` has sizeof(T) writable bytes.
template <typename T>
void StoreLittle(void* to, T value) {
  static_assert(std::is_integral_v<T>);
  std::memcpy(to, &value, sizeof(T));
}

// REQUIRES: `alignment` is a power of two.
constexpr size_t RoundUp(size_t size, size_t alignment) {
  return (size + alignment - 1) & ~(alignment - 1);
}

}  // namespace dunlin
