// SqlProperties: finds the values of an SQL filter's properties in a stored message. Immutable;
// thread-safe.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "services/broker/filter/sql_filter.h"

namespace dunlin::broker {

class SqlProperties {
 public:
  // `names` by their place in SqlValues. Besides user properties there are kSqlTags, kSqlKeys and
  // kSqlMessageId.
  explicit SqlProperties(const std::vector<std::string>& names);

  // Reads a stored payload whose system_properties field begins at `properties_offset` without
  // copying or parsing it (several keys excepted, which are joined when the filter names them).
  // False when it is damaged. The payload must outlive the values. Adds to `searched` the bytes it
  // looked at.
  bool Read(std::string_view payload, uint32_t properties_offset, SqlValues& values,
            size_t& searched) const;

 private:
  struct Name {
    std::string name;
    size_t place = 0;
  };
  static constexpr size_t kAbsent = SIZE_MAX;

  // Null when the filter has no such name.
  const Name* Find(std::string_view name) const;
  size_t PlaceOf(std::string_view name) const;
  bool ReadUserProperties(std::string_view fields, SqlValues& values, size_t& searched) const;
  bool ReadSystemProperties(std::string_view fields, SqlValues& values) const;

  std::vector<Name> names_;  // sorted by length, then bytes
  size_t tags_;
  size_t keys_;
  size_t message_id_;
};

}  // namespace dunlin::broker
