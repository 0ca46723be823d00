#include "services/broker/filter/sql_properties.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "services/broker/filter/sql_names.h"
#include "services/broker/wire/message_fields.h"
#include "services/broker/wire/message_properties.h"
#include "services/broker/wire/stored_message.h"
#include "services/broker/wire/wire_reader.h"

namespace dunlin::broker {
namespace {

// By length first: most names differ there.
bool Before(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return a.size() < b.size();
  return std::memcmp(a.data(), b.data(), a.size()) < 0;
}

}  // namespace

SqlProperties::SqlProperties(const std::vector<std::string>& names) {
  for (size_t i = 0; i < names.size(); ++i) names_.push_back({names[i], i});
  std::sort(names_.begin(), names_.end(),
            [](const Name& a, const Name& b) { return Before(a.name, b.name); });
  tags_ = PlaceOf(kSqlTags);
  keys_ = PlaceOf(kSqlKeys);
  message_id_ = PlaceOf(kSqlMessageId);
}

const SqlProperties::Name* SqlProperties::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(names_.begin(), names_.end(), name,
                       [](const Name& a, std::string_view b) { return Before(a.name, b); });
  return found != names_.end() && found->name == name ? &*found : nullptr;
}

size_t SqlProperties::PlaceOf(std::string_view name) const {
  const Name* const found = Find(name);
  return found == nullptr ? kAbsent : found->place;
}

bool SqlProperties::Read(std::string_view payload, uint32_t properties_offset, SqlValues& values,
                         size_t& searched) const {
  const absl::StatusOr<std::string_view> system = StoredProperties(payload, properties_offset);
  if (!system.ok()) return false;
  if (!ReadUserProperties(payload.substr(0, properties_offset), values, searched)) return false;
  if (tags_ == kAbsent && keys_ == kAbsent && message_id_ == kAbsent) return true;
  searched += system->size();
  return ReadSystemProperties(*system, values);
}

bool SqlProperties::ReadUserProperties(std::string_view fields, SqlValues& values,
                                       size_t& searched) const {
  WireReader reader(fields);
  WireField field;
  while (reader.Next(field)) {
    if (field.number != message_field::kUserProperties) continue;
    searched += field.whole.size();
    // An entry of a map: key 1, value 2.
    std::string_view name;
    std::string_view value;
    WireReader entry(field.bytes);
    WireField part;
    while (entry.Next(part)) {
      if (part.number == 1) name = part.bytes;
      if (part.number == 2) value = part.bytes;
    }
    if (!entry.ok()) return false;
    // Of equal names the last one counts, as in a parsed map.
    if (const Name* const found = Find(name); found != nullptr) values.Set(found->place, value);
  }
  return reader.ok();
}

bool SqlProperties::ReadSystemProperties(std::string_view fields, SqlValues& values) const {
  std::string_view first_key;
  std::string keys;  // when there are several
  size_t key_count = 0;
  WireReader reader(fields);
  WireField field;
  while (reader.Next(field)) {
    // proto3 has no way to tell an empty tag or id from none.
    if (field.number > property::kMessageId || field.bytes.empty()) continue;
    if (field.number == property::kTag && tags_ != kAbsent) values.Set(tags_, field.bytes);
    if (field.number == property::kMessageId && message_id_ != kAbsent) {
      values.Set(message_id_, field.bytes);
    }
    if (field.number != property::kKeys || keys_ == kAbsent) continue;
    if (key_count++ == 0) {
      first_key = field.bytes;
      continue;
    }
    if (keys.empty()) keys = first_key;
    keys += ' ';
    keys += field.bytes;
  }
  if (key_count == 1) values.Set(keys_, first_key);
  if (key_count > 1) values.SetOwned(keys_, std::move(keys));
  return reader.ok();
}

}  // namespace dunlin::broker
