#include "services/replicator/rpc/roster_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"

#include "services/base/status_macros.h"
#include "services/runtime/host_port.h"

namespace dunlin::replicator {
namespace {

namespace v1 = dunlin::replication::v1;

constexpr size_t kLongestName = 127;

absl::Status CheckName(const MemberName& name) {
  const bool well_formed =
      !name.empty() && name.size() <= kLongestName &&
      std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
      });
  if (well_formed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" can be no name of a member: 1 to {} letters, digits, '-' or '_'", name,
                  kLongestName));
}

absl::Status CheckAddress(const std::string& address) {
  if (ParseHostPort(address).has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("\"{}\" is not HOST:PORT", address));
}

}  // namespace

absl::StatusOr<RosterChange> RosterChangeOf(const v1::ChangeMembersRequest& request) {
  RosterChange change;
  switch (request.change_case()) {
    case v1::ChangeMembersRequest::kAdd:
      change = {.kind = RosterChange::Kind::kAdd,
                .member = request.add().member(),
                .address = request.add().address(),
                .learner = request.add().learner()};
      break;
    case v1::ChangeMembersRequest::kRemove:
      change = {.kind = RosterChange::Kind::kRemove,
                .member = request.remove().member(),
                .force = request.remove().force()};
      break;
    case v1::ChangeMembersRequest::kSetAddress:
      change = {.kind = RosterChange::Kind::kSetAddress,
                .member = request.set_address().member(),
                .address = request.set_address().address()};
      break;
    case v1::ChangeMembersRequest::CHANGE_NOT_SET:
      return absl::InvalidArgumentError("a request to change members without a change");
  }
  RETURN_IF_ERROR(CheckName(change.member));
  if (change.kind != RosterChange::Kind::kRemove) RETURN_IF_ERROR(CheckAddress(change.address));
  return change;
}

v1::ChangeMembersRequest RequestOf(const RosterChange& change) {
  v1::ChangeMembersRequest request;
  switch (change.kind) {
    case RosterChange::Kind::kAdd:
      request.mutable_add()->set_member(change.member);
      request.mutable_add()->set_address(change.address);
      request.mutable_add()->set_learner(change.learner);
      break;
    case RosterChange::Kind::kRemove:
      request.mutable_remove()->set_member(change.member);
      request.mutable_remove()->set_force(change.force);
      break;
    case RosterChange::Kind::kSetAddress:
      request.mutable_set_address()->set_member(change.member);
      request.mutable_set_address()->set_address(change.address);
      break;
  }
  return request;
}

}  // namespace dunlin::replicator
