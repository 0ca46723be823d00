// libFuzzer target: ./dev fuzz //services/broker/filter:sql_filter_fuzz

#include <cstddef>
#include <cstdint>

#include "services/broker/filter/testing/fuzz_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dunlin::broker::CheckAnySql({reinterpret_cast<const char*>(data), size});
  return 0;
}
