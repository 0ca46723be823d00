#include "services/runtime/config_field.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <system_error>
#include <vector>

#include "proto/dunlin/config/v1/rule.pb.h"
#include "services/base/check.h"
#include "services/runtime/host_port.h"

namespace dunlin {
namespace {

using config::v1::Rule;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

const Rule& RuleOf(const FieldDescriptor& field) {
  return field.options().GetExtension(config::v1::rule);
}

struct Range {
  uint64_t min = 0;
  uint64_t max = 0;
};

Range RangeOf(const FieldDescriptor& field) {
  const Rule& rule = RuleOf(field);
  const uint64_t type_max = field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32
                                ? std::numeric_limits<uint32_t>::max()
                                : std::numeric_limits<uint64_t>::max();
  return {.min = rule.min(), .max = rule.has_max() ? std::min(rule.max(), type_max) : type_max};
}

// Alike for people: a configuration may say `info` for INFO.
bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

absl::Status Expected(const FieldDescriptor& field, std::string_view text) {
  constexpr size_t kMaxShown = 60;  // a message, not a copy of the file
  const std::string_view shown = text.substr(0, kMaxShown);
  return absl::InvalidArgumentError(fmt::format("{}: expected {}, got \"{}{}\"", field.name(),
                                                DescribeField(field), shown,
                                                shown.size() < text.size() ? "…" : ""));
}

std::optional<uint64_t> ParseNumber(std::string_view text, Range range) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  if (value < range.min || value > range.max) return std::nullopt;
  return value;
}

bool IsName(std::string_view text) {
  constexpr size_t kMaxLength = 127;
  return !text.empty() && text.size() <= kMaxLength &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_';
         });
}

bool MayBeEmpty(const FieldDescriptor& field) {
  return field.default_value_string().empty() || RuleOf(field).may_be_empty();
}

bool HasFormat(const FieldDescriptor& field, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return false;
  if (text.empty() && MayBeEmpty(field)) return true;
  switch (RuleOf(field).format()) {
    case Rule::ANY:
      return true;
    case Rule::HOST_PORT:
      return ParseHostPort(text).has_value();
    case Rule::NAME:
      return IsName(text);
    case Rule::NOT_EMPTY:
      return !text.empty();
  }
  return false;
}

const EnumValueDescriptor* FindEnumValue(const EnumDescriptor& type, std::string_view text) {
  for (int i = 0; i < type.value_count(); ++i) {
    if (EqualIgnoringCase(type.value(i)->name(), text)) return type.value(i);
  }
  return nullptr;
}

std::string DescribeEnum(const EnumDescriptor& type) {
  std::string names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (i > 0) names += i + 1 == type.value_count() ? " or " : ", ";
    names += type.value(i)->name();
  }
  return names;
}

std::string DescribeString(const FieldDescriptor& field) {
  const std::string_view or_empty = MayBeEmpty(field) ? " or empty" : "";
  switch (RuleOf(field).format()) {
    case Rule::ANY:
      return "text";
    case Rule::HOST_PORT:
      return fmt::format("host:port{}", or_empty);
    case Rule::NAME:
      return fmt::format("1 to 127 letters, digits, '-' or '_'{}", or_empty);
    case Rule::NOT_EMPTY:
      return "text that is not empty";
  }
  return "text";
}

bool IsPlainYaml(std::string_view text) {
  constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:-";
  if (text.empty() || text.find_first_not_of(kSafe) != std::string_view::npos) return false;
  if (text.front() == '-' || text.front() == ':' || text.back() == ':') return false;
  return !EqualIgnoringCase(text, "null");
}

std::string QuoteYaml(std::string_view text) {
  if (IsPlainYaml(text)) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string PrintList(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<std::string> values;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    values.push_back(field.cpp_type() == FieldDescriptor::CPPTYPE_STRING
                         ? QuoteYaml(reflection.GetRepeatedString(message, &field, i))
                         : fmt::to_string(reflection.GetRepeatedUInt32(message, &field, i)));
  }
  return fmt::format("[{}]", fmt::join(values, ", "));
}

}  // namespace

absl::Status SetField(Message& message, const FieldDescriptor& field, std::string_view text) {
  CHECK(!field.is_repeated(), field.full_name());
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return Expected(field, text);
      reflection.SetBool(&message, &field, text == "true");
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64: {
      const std::optional<uint64_t> value = ParseNumber(text, RangeOf(field));
      if (!value.has_value()) return Expected(field, text);
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
        reflection.SetUInt64(&message, &field, *value);
      } else {
        reflection.SetUInt32(&message, &field, static_cast<uint32_t>(*value));
      }
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumValueDescriptor* value = FindEnumValue(*field.enum_type(), text);
      if (value == nullptr) return Expected(field, text);
      reflection.SetEnum(&message, &field, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_STRING:
      if (!HasFormat(field, text)) return Expected(field, text);
      reflection.SetString(&message, &field, std::string(text));
      return absl::OkStatus();
    default:
      return absl::InternalError(fmt::format("{}: fields of type {} are not supported",
                                             field.full_name(), field.type_name()));
  }
}

absl::Status AddToField(Message& message, const FieldDescriptor& field, std::string_view text) {
  CHECK(field.is_repeated(), field.full_name());
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    if (text.empty() || !HasFormat(field, text)) return Expected(field, text);
    message.GetReflection()->AddString(&message, &field, std::string(text));
    return absl::OkStatus();
  }
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_UINT32) {
    return absl::InternalError(fmt::format("{}: lists of type {} are not supported",
                                           field.full_name(), field.type_name()));
  }
  const std::optional<uint64_t> value = ParseNumber(text, RangeOf(field));
  if (!value.has_value()) return Expected(field, text);
  message.GetReflection()->AddUInt32(&message, &field, static_cast<uint32_t>(*value));
  return absl::OkStatus();
}

void FillListDefault(Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  if (!field.is_repeated() || reflection.FieldSize(message, &field) > 0) return;
  for (const uint64_t value : RuleOf(field).default_values()) {
    reflection.AddUInt32(&message, &field, static_cast<uint32_t>(value));
  }
}

void FillSectionDefaults(Message& message, const FieldDescriptor& section) {
  for (const config::v1::FieldDefault& value : RuleOf(section).defaults()) {
    Message& inside = *message.GetReflection()->MutableMessage(&message, &section);
    const FieldDescriptor* field = section.message_type()->FindFieldByName(value.field());
    CHECK(field != nullptr && SetField(inside, *field, value.value()).ok(), value.field());
  }
}

std::string PrintField(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  if (field.is_repeated()) return PrintList(message, field);
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_UINT32:
      return fmt::to_string(reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return fmt::to_string(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection.GetEnum(message, &field)->name();
    default:
      return QuoteYaml(reflection.GetString(message, &field));
  }
}

std::string DescribeField(const FieldDescriptor& field) {
  const std::string_view list = field.is_repeated() ? "list of " : "";
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64: {
      const Range range = RangeOf(field);
      const std::string_view noun = field.is_repeated() ? "integers" : "integer";
      return fmt::format("{}{} from {} to {}", list, noun, range.min, range.max);
    }
    case FieldDescriptor::CPPTYPE_ENUM:
      return DescribeEnum(*field.enum_type());
    default:
      if (field.is_repeated() && RuleOf(field).format() == Rule::HOST_PORT)
        return "list of host:port";
      return fmt::format("{}{}", list, DescribeString(field));
  }
}

}  // namespace dunlin
