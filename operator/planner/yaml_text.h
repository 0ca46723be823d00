// YamlText: a configuration file from Json, checked by the schema of the program that reads it.
// Pure; any thread.

#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "operator/k8s/json.h"

namespace dunlin::op {

// `schema`: a message of proto/dunlin/config/v1, in which the file is tried. INVALID_ARGUMENT: the
// schema does not have it so; the message names the field.
absl::StatusOr<std::string> YamlText(const k8s::Json& config, google::protobuf::Message& schema,
                                     std::string_view made_from);

}  // namespace dunlin::op
