#include "services/base/check.h"

#include <cstdlib>

#include "services/base/log.h"

namespace dunlin::internal {

void CheckFailed(const char* file, int line, const char* condition, std::string_view detail) {
  log::Critical("broken invariant at {}:{}: {} {}", file, line, condition, detail);
  log::Flush();
  std::abort();
}

}  // namespace dunlin::internal
