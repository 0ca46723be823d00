// Partly: a service of which only some methods are served.
//
// The others are those of the generic service that the server must have then: to clients they are
// there, and say what that says.

#pragma once

#include <google/protobuf/descriptor.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

namespace dunlin::broker {

// `Implementation` serves all methods, as callbacks.
template <typename Implementation>
class Partly final : public Implementation {
 public:
  // `methods` of `service` are served; the rest is what the implementation is made of.
  template <typename... Arguments>
  Partly(const google::protobuf::ServiceDescriptor& service,
         std::span<const std::string_view> methods, Arguments&&... arguments)
      : Implementation(std::forward<Arguments>(arguments)...) {
    for (int i = 0; i < service.method_count(); ++i) {
      if (std::find(methods.begin(), methods.end(), service.method(i)->name()) == methods.end()) {
        this->MarkMethodGeneric(i);
      }
    }
  }
};

}  // namespace dunlin::broker
