// Prints docs/reference/errors.md.

#include <cstdio>

#include "services/broker/codes/errors_reference.h"

int main() {
  const std::string page = dunlin::broker::ErrorsReference();
  return std::fwrite(page.data(), 1, page.size(), stdout) == page.size() ? 0 : 1;
}
