// CRC-32C (Castagnoli), by the instruction where the processor has it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dunlin {

// CRC-32C of `bytes` appended to data whose CRC-32C is `crc`. Crc32c("123456789") is 0xE3069283.
uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes);
inline uint32_t Crc32c(std::string_view bytes) { return ExtendCrc32c(0, bytes); }

// CRC-32C of two pieces of data one after the other, from the CRC of each and the length of the
// second; costs about a microsecond whatever the length.
uint32_t ConcatCrc32c(uint32_t first, uint32_t second, size_t second_length);

}  // namespace dunlin
