#include "operator/controller/group_control.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>

#include "operator/controller/grpc_calls.h"
#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/bytes.h"
#include "services/base/check.h"
#include "services/base/status_macros.h"

namespace dunlin::op {
namespace {

namespace v1 = replication::v1;

std::unique_ptr<v1::ReplicationService::Stub> To(const std::string& address) {
  return v1::ReplicationService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

// HMAC-SHA-256 over the fields, each preceded by its length (replication.proto).
std::string Proof(const std::string& secret, std::initializer_list<std::string_view> fields) {
  std::string text;
  for (const std::string_view field : fields) {
    std::string length(sizeof(uint64_t), '\0');
    StoreLittle(length.data(), static_cast<uint64_t>(field.size()));
    text.append(length).append(field);
  }
  std::string proof(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  CHECK(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(text.data()), text.size(),
             reinterpret_cast<unsigned char*>(proof.data()), &size) != nullptr);
  proof.resize(size);
  return proof;
}

absl::StatusOr<v1::GetMemberResponse> GetMember(const std::string& address) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetMemberResponse member;
  RETURN_IF_ERROR(FromGrpc(To(address)->GetMember(&context, {}, &member)));
  return member;
}

absl::Status CheckMaster(const GroupControl::Master& master) {
  ASSIGN_OR_RETURN(const v1::GetMemberResponse member, GetMember(master.address));
  if (member.member() == master.member && member.role() == v1::MASTER &&
      member.epoch() == master.epoch) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      fmt::format("{} is {} of epoch {}, not the master {} of epoch {}", master.address,
                  member.member(), member.epoch(), master.member, master.epoch));
}

Seat SeatOf(const v1::MemberAddress& member) {
  if (member.joining()) return Seat::kJoining;
  return member.learner() ? Seat::kLearner : Seat::kVoter;
}

}  // namespace

absl::Status GrpcGroupControl::SwitchOver(const Master& master, const std::string& to) {
  RETURN_IF_ERROR(CheckMaster(master));
  v1::SwitchoverRequest request;
  request.set_group(master.group);
  request.set_successor(to);
  *request.mutable_credential() = CredentialFor(master, "Switchover", to);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::SwitchoverResponse response;
  return FromGrpc(To(master.address)->Switchover(&context, request, &response));
}

absl::Status GrpcGroupControl::ChangeMembers(const Master& master,
                                             const Plan::MemberChange& change) {
  RETURN_IF_ERROR(CheckMaster(master));
  v1::ChangeMembersRequest request;
  request.set_group(master.group);
  std::string text;
  if (change.address.empty()) {
    request.mutable_remove()->set_member(change.member);
    text = fmt::format("remove {}", change.member);
  } else {
    request.mutable_add()->set_member(change.member);
    request.mutable_add()->set_address(change.address);
    text = fmt::format("add {}={}", change.member, change.address);
  }
  *request.mutable_credential() = CredentialFor(master, "ChangeMembers", text);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ChangeMembersResponse response;
  return FromGrpc(To(master.address)->ChangeMembers(&context, request, &response));
}

v1::Credential GrpcGroupControl::CredentialFor(const Master& master, std::string_view method,
                                               std::string_view argument) const {
  v1::Credential credential;
  if (master.secret.empty()) return credential;
  credential.set_caller(caller_);
  credential.set_time_ms(ToUnixMillis(clock_.Now()));
  std::string time(sizeof(int64_t), '\0');
  StoreLittle(time.data(), credential.time_ms());
  credential.set_proof(Proof(master.secret, {"dunlin.replication.v1 call", method, master.group,
                                             caller_, master.member, time, argument}));
  return credential;
}

absl::StatusOr<Coordination> GrpcGroupControl::Ask(const std::vector<std::string>& addresses) {
  std::optional<v1::GetMemberResponse> best;
  std::string why = "there are no members";
  for (const std::string& address : addresses) {
    absl::StatusOr<v1::GetMemberResponse> member = GetMember(address);
    if (!member.ok()) {
      why = fmt::format("{}: {}", address, std::string(member.status().message()));
      continue;
    }
    const bool masters = member->role() == v1::MASTER;
    if (!best.has_value() ||
        (masters && (best->role() != v1::MASTER || member->epoch() > best->epoch()))) {
      best = *std::move(member);
    }
  }
  if (!best.has_value()) return absl::UnavailableError(why);
  Coordination coordination{.epoch = best->epoch(), .master = "", .in_sync = {}};
  coordination.in_sync.insert(best->in_sync().begin(), best->in_sync().end());
  if (best->role() == v1::MASTER) {
    coordination.master = best->member();
    for (const v1::MemberAddress& member : best->members()) {
      coordination.members[member.member()] = SeatOf(member);
    }
  }
  return coordination;
}

}  // namespace dunlin::op
