// FieldPath: where a setting stands in a configuration message, and its name "server.tls.mode".
//
// Pure; any thread.

#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace dunlin {

// The fields to pass from the outermost message; all but the last are messages, the last is not.
using FieldPath = std::vector<const google::protobuf::FieldDescriptor*>;

// Empty when `name` is no setting of `type`.
FieldPath FindField(const google::protobuf::Descriptor& type, std::string_view name);
std::string PathName(const FieldPath& path);

// "SERVER__TLS__MODE" → "server.tls.mode".
std::string PathFromEnvironment(std::string_view variable);

// The message that holds the last field of `path`. REQUIRES: FindField returned `path`, not empty.
google::protobuf::Message& MutableParent(google::protobuf::Message& config, const FieldPath& path);

// INVALID_ARGUMENT that names `name` and the setting its writer most likely meant.
absl::Status UnknownKey(const google::protobuf::Descriptor& type, std::string_view name);

}  // namespace dunlin
