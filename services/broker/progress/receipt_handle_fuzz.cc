// libFuzzer target: ./dev fuzz //services/broker/progress:receipt_handle_fuzz

#include <cstddef>
#include <cstdint>

#include "services/base/check.h"
#include "services/broker/progress/receipt_handle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dunlin::broker::DecodeReceiptHandle;
  const auto handle = DecodeReceiptHandle({reinterpret_cast<const char*>(data), size});
  if (handle.ok()) CHECK(*DecodeReceiptHandle(Encode(*handle)) == *handle);
  return 0;
}
