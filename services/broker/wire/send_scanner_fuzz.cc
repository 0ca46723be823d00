// libFuzzer target: ./dev fuzz //services/broker/wire:send_scanner_fuzz

#include <cstddef>
#include <cstdint>

#include "services/broker/wire/testing/fuzz_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dunlin::broker::CheckAnySend({reinterpret_cast<const char*>(data), size});
  return 0;
}
