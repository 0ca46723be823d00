// UserSource: where users are looked up.

#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "services/broker/access/user.h"

namespace dunlin::broker {

// Thread-safe; nothing waits.
class UserSource {
 public:
  virtual ~UserSource() = default;

  // Null when there is none.
  virtual std::shared_ptr<const User> Find(std::string_view name) const = 0;
  // Another one, and higher, whenever a user has changed.
  virtual uint64_t version() const = 0;
};

}  // namespace dunlin::broker
