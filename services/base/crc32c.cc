#include "services/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <limits>

namespace dunlin {
namespace {

// Arithmetic modulo the Castagnoli polynomial over GF(2), bits reflected: bit 31 is x^0.
constexpr uint32_t kPolynomial = 0x82F63B78;
constexpr uint32_t kOne = 0x80000000;

constexpr uint32_t MultiplyByX(uint32_t a) { return (a >> 1) ^ ((a & 1) != 0 ? kPolynomial : 0); }

constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = kOne; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = MultiplyByX(b);
  }
  return product;
}

// x^(8 * length)
constexpr uint32_t PowerOfBytes(size_t length) {
  uint32_t square = MultiplyByX(kOne);                            // x
  for (int i = 0; i < 3; ++i) square = Multiply(square, square);  // x^8
  uint32_t power = kOne;
  for (; length != 0; length >>= 1) {
    if ((length & 1) != 0) power = Multiply(power, square);
    square = Multiply(square, square);
  }
  return power;
}

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes) {
  // The library works on the register (inverted) and takes lengths as int.
  uint32_t state = ~crc;
  while (!bytes.empty()) {
    const size_t length =
        std::min<size_t>(bytes.size(), static_cast<size_t>(std::numeric_limits<int>::max()));
    auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    state = crc32_iscsi(data, static_cast<int>(length), state);
    bytes.remove_prefix(length);
  }
  return ~state;
}

uint32_t ConcatCrc32c(uint32_t first, uint32_t second, size_t second_length) {
  return Multiply(PowerOfBytes(second_length), first) ^ second;
}

}  // namespace dunlin
