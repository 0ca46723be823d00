// libFuzzer target: ./dev fuzz //services/store/log:record_codec_fuzz

#include <cstddef>
#include <cstdint>

#include "services/base/check.h"
#include "services/store/log/record_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dunlin::store::CheckRecord;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto header = CheckRecord(bytes, {dunlin::LogOffset(0), std::nullopt});
  // What passes is inside the bytes it was read from.
  if (header.ok()) CHECK(header->length <= size);
  return 0;
}
