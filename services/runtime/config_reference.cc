// Writes docs/reference/config.md to standard output, from the schema with its comments.
//
// Usage: config_reference DESCRIPTORS, a FileDescriptorSet made with --include_source_info.

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/dunlin/config/v1/rule.pb.h"
#include "services/runtime/config_field.h"

namespace dunlin {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::SourceLocation;

constexpr std::string_view kIntroduction = R"(# Configuration

<!-- Generated from proto/dunlin/config/v1/config.proto; change it there and run
     `bazel run //services/runtime:update_config_reference`. -->

A program reads its settings from four sources; later ones win:

1. the defaults on this page,
2. a YAML file: `-c dunlin.yaml`,
3. the environment: `DUNLIN_SERVER__LISTEN_ADDRESS=0.0.0.0:8081`, in capitals, sections parted by
   two underscores, lists by commas,
4. the command line: `--set server.listen_address=0.0.0.0:8081`.

`-p` prints the settings in effect and where each one comes from. What this page does not name, or
what is outside its limits, is refused at start with the place and the nearest known name. YAML
anchors, aliases and tags are not supported. An IPv6 address needs quotes: `"[::]:8081"`.
)";

struct Program {
  std::string_view name;
  std::string_view message;
};
constexpr std::array<Program, 2> kPrograms = {{
    {"dunlin", "dunlin.config.v1.DunlinConfig"},
    {"dunlin-nameservice", "dunlin.config.v1.NameServiceConfig"},
}};

// The comment of an element as one paragraph.
template <typename Element>
std::string CommentOf(const Element& element) {
  SourceLocation location;
  if (!element.GetSourceLocation(&location)) return "";
  std::string text;
  bool space = false;
  for (const char c : location.leading_comments) {
    if (c == '\n' || c == ' ') {
      space = !text.empty();
      continue;
    }
    if (space) text += ' ';
    space = false;
    text += c;
  }
  return text;
}

std::string EnumList(const EnumDescriptor& type) {
  std::string list;
  for (int i = 0; i < type.value_count(); ++i) {
    const std::string comment = CommentOf(*type.value(i));
    if (!comment.empty()) list += fmt::format("- `{}`: {}\n", type.value(i)->name(), comment);
  }
  return list.empty() ? list : list + "\n";
}

// `section` is the field that holds the message of `field`; null at the top.
std::string FieldEntry(const FieldDescriptor& field, const FieldDescriptor* section,
                       const std::string& path) {
  google::protobuf::DynamicMessageFactory factory;
  const std::unique_ptr<google::protobuf::Message> message(
      factory.GetPrototype(field.containing_type())->New());
  FillListDefault(*message, field);
  if (section != nullptr) {
    const config::v1::Rule& rule = section->options().GetExtension(config::v1::rule);
    for (const config::v1::FieldDefault& value : rule.defaults()) {
      if (value.field() != field.name()) continue;
      if (!SetField(*message, field, value.value()).ok()) return "";
    }
  }
  std::string entry = fmt::format("### `{}`\n\n{}\n\n", path, CommentOf(field));
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) entry += EnumList(*field.enum_type());
  entry +=
      fmt::format("Value: {}. Default: `{}`.\n", DescribeField(field), PrintField(*message, field));
  const config::v1::Rule& rule = field.options().GetExtension(config::v1::rule);
  if (rule.has_at_most_field()) entry += fmt::format("At most `{}`.\n", rule.at_most_field());
  if (rule.has_together_with_field()) {
    entry += fmt::format("Set together with `{}`.\n", rule.together_with_field());
  }
  return entry;
}

// Settings of one section first, then the sections inside it.
std::string Section(const Descriptor& type, const FieldDescriptor* section,
                    const std::string& prefix) {
  std::string text;
  std::string inner;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string path = prefix + field.name();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      inner += fmt::format("\n## `{}`\n\n{}\n", path, CommentOf(*field.message_type()));
      inner += Section(*field.message_type(), &field, path + ".");
    } else {
      text += "\n" + FieldEntry(field, section, path);
    }
  }
  return text + inner;
}

int WriteReference(const char* path) {
  std::ifstream file(path, std::ios::binary);
  FileDescriptorSet set;
  if (!set.ParseFromIstream(&file)) {
    fmt::print(stderr, "{}: not a FileDescriptorSet\n", path);
    return 1;
  }
  DescriptorPool pool;
  for (const FileDescriptorProto& one : set.file()) {
    if (pool.BuildFile(one) == nullptr) return 1;  // the pool has said why
  }
  fmt::print("{}", kIntroduction);
  for (const Program& program : kPrograms) {
    const Descriptor* type = pool.FindMessageTypeByName(std::string(program.message));
    if (type == nullptr) {
      fmt::print(stderr, "{}: there is no {} in it\n", path, program.message);
      return 1;
    }
    fmt::print("\n# `{}`\n\n{}\n{}", program.name, CommentOf(*type), Section(*type, nullptr, ""));
  }
  return 0;
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: config_reference DESCRIPTORS\n");
    return 2;
  }
  return dunlin::WriteReference(argv[1]);
}
