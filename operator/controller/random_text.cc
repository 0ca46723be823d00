#include "operator/controller/random_text.h"

#include <openssl/rand.h>

#include "absl/strings/escaping.h"

#include "services/base/check.h"

namespace dunlin::op {

std::string RandomText(int bytes) {
  std::string text(static_cast<size_t>(bytes), '\0');
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(text.data()), bytes) == 1);
  return absl::BytesToHexString(text);
}

}  // namespace dunlin::op
