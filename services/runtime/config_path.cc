#include "services/runtime/config_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace dunlin {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

void CollectNames(const Descriptor& type, const std::string& prefix,
                  std::vector<std::string>& names) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    names.push_back(prefix + field.name());
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      CollectNames(*field.message_type(), names.back() + ".", names);
    }
  }
}

// Levenshtein's distance: insertions, deletions and replacements from `a` to `b`.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

std::string_view LastWord(std::string_view path) { return path.substr(path.rfind('.') + 1); }

// Nearest by spelling; a setting with the right last word in another section is as near as one
// wrong letter.
std::string Nearest(const Descriptor& type, std::string_view name) {
  std::vector<std::string> names;
  CollectNames(type, "", names);
  std::string nearest;
  size_t smallest = std::max<size_t>(3, LastWord(name).size() / 2);
  for (const std::string& candidate : names) {
    size_t distance = EditDistance(name, candidate);
    if (LastWord(candidate) == LastWord(name)) distance = std::min<size_t>(distance, 1);
    if (distance < smallest) {
      smallest = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace

FieldPath FindField(const Descriptor& type, std::string_view name) {
  FieldPath path;
  const Descriptor* message = &type;
  while (true) {
    const size_t dot = name.find('.');
    const FieldDescriptor* field = message->FindFieldByName(std::string(name.substr(0, dot)));
    if (field == nullptr) return {};
    path.push_back(field);
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    const bool is_last = dot == std::string_view::npos;
    if (is_message == is_last) return {};
    if (is_last) return path;
    message = field->message_type();
    name.remove_prefix(dot + 1);
  }
}

std::string PathName(const FieldPath& path) {
  std::string name;
  for (const FieldDescriptor* field : path) {
    if (!name.empty()) name += '.';
    name += field->name();
  }
  return name;
}

std::string PathFromEnvironment(std::string_view variable) {
  std::string name;
  for (size_t i = 0; i < variable.size(); ++i) {
    const char c = variable[i];
    if (variable.substr(i, 2) == "__") {
      name += '.';
      ++i;
    } else {
      name += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
  }
  return name;
}

Message& MutableParent(Message& config, const FieldPath& path) {
  Message* message = &config;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    message = message->GetReflection()->MutableMessage(message, path[i]);
  }
  return *message;
}

absl::Status UnknownKey(const Descriptor& type, std::string_view name) {
  constexpr size_t kMaxShown = 100;  // also keeps the search for the nearest short
  name = name.substr(0, kMaxShown);
  const std::string nearest = Nearest(type, name);
  return absl::InvalidArgumentError(
      nearest.empty()
          ? fmt::format("there is no setting \"{}\"", name)
          : fmt::format("there is no setting \"{}\"; did you mean \"{}\"?", name, nearest));
}

}  // namespace dunlin
