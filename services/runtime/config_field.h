// One field of a configuration message as text: set from it, checked, printed, described.
//
// What a field may hold is its type and its rule (proto/dunlin/config/v1/rule.proto). Pure; any
// thread.

#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace dunlin {

// Sets the scalar `field` of `message`. INVALID_ARGUMENT says what is expected and what came.
absl::Status SetField(google::protobuf::Message& message,
                      const google::protobuf::FieldDescriptor& field, std::string_view text);

// Appends one element to the list `field`; errors as above.
absl::Status AddToField(google::protobuf::Message& message,
                        const google::protobuf::FieldDescriptor& field, std::string_view text);

// Gives an empty list the default its rule names; does nothing to other fields.
void FillListDefault(google::protobuf::Message& message,
                     const google::protobuf::FieldDescriptor& field);

// Gives the fields of `section`, a message in `message`, the defaults that its rule names.
void FillSectionDefaults(google::protobuf::Message& message,
                         const google::protobuf::FieldDescriptor& section);

// The value of a scalar or list field as it would stand in a YAML file.
std::string PrintField(const google::protobuf::Message& message,
                       const google::protobuf::FieldDescriptor& field);

// "integer from 1 to 64", "BOTH, REQUIRED or OFF", "host:port or empty", …
std::string DescribeField(const google::protobuf::FieldDescriptor& field);

}  // namespace dunlin
