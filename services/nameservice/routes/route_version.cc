#include "services/nameservice/routes/route_version.h"

#include <string_view>

namespace dunlin::nameservice {
namespace {

// FNV-1a: of two routes that differ in one number it never makes the same. Not 0, which is "none".
uint64_t Fingerprint(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3;
  }
  return hash == 0 ? 1 : hash;
}

}  // namespace

// If a later program serialises in another way, its routes are told once more.
uint64_t VersionOf(const v1::Route& route) {
  v1::Route part;
  part.mutable_status()->set_code(route.status().code());
  *part.mutable_queues() = route.queues();
  return Fingerprint(part.SerializeAsString());
}

}  // namespace dunlin::nameservice
