// The Credential of a unary call: made by who calls, checked by who is called. Pure.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/base/clock.h"
#include "services/replicator/transport/secret.h"

namespace dunlin::replicator {

// What a credential is good for: one method of one member, with one argument.
struct Purpose {
  std::string_view method;  // "Promise"
  std::string_view group;
  std::string_view called;    // the member
  std::string_view argument;  // the epoch or the successor, as text
};

dunlin::replication::v1::Credential MakeCredential(const Secret& secret, std::string_view caller,
                                                   const Purpose& purpose, Timestamp now);

// PERMISSION_DENIED unless the caller has the secret and says so now. Without a secret anything
// will do.
absl::Status CheckCredential(const Secret& secret,
                             const dunlin::replication::v1::Credential& credential,
                             const Purpose& purpose, Timestamp now);

}  // namespace dunlin::replicator
