// What is done with answers of the admin service, whatever they are about: changes are logged, with
// who made them, and lists leave out what the caller is denied.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/broker/access/access_control.h"
#include "services/broker/admin/admin.h"

namespace dunlin::broker {

// `request`: the name of its type, "UpdateUserRequest"; `object`: whose it is, may be empty.
void LogChange(std::string_view request, std::string_view object, const Caller& caller,
               const std::string& peer, const absl::Status& outcome);

// The name of what a request is about; empty when it has none.
template <typename Request>
std::string ObjectOf(const Request& request) {
  if constexpr (requires { request.user().name(); }) {
    return request.user().name();
  } else if constexpr (requires { request.topic().name(); }) {
    return request.topic().name();
  } else if constexpr (requires { request.group().name(); }) {
    return request.group().name();
  } else if constexpr (requires { request.name(); }) {
    return request.name();
  } else if constexpr (requires { request.group(); }) {
    return request.group();
  } else if constexpr (requires { request.topic(); }) {
    return request.topic();
  } else {
    return "";
  }
}

template <typename Request>
void LogChange(const Request& request, const Caller& caller, const std::string& peer,
               const absl::Status& outcome) {
  LogChange(Request::descriptor()->name(), ObjectOf(request), caller, peer, outcome);
}

// For Admin::ListTopics and ListGroups: what a rule of the caller's denies. `access` must outlive
// it.
Hidden DeniedTopics(const AccessControl& access, Caller caller);
Hidden DeniedGroups(const AccessControl& access, Caller caller);

template <typename Request, typename Response>
void LeaveOutDenied(const AccessControl& /*access*/, const Caller& /*caller*/,
                    const Request& /*request*/, const Response& /*response*/) {}
void LeaveOutDenied(const AccessControl& access, const Caller& caller,
                    const admin::v1::ListDeadLettersRequest& request,
                    admin::v1::ListDeadLettersResponse& response);
void LeaveOutDenied(const AccessControl& access, const Caller& caller,
                    const admin::v1::ListTransactionsRequest& request,
                    admin::v1::ListTransactionsResponse& response);

}  // namespace dunlin::broker
