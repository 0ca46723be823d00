#include "operator/controller/group_control.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "operator/controller/grpc_calls.h"
#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/status_macros.h"
#include "services/replicator/transport/credential.h"
#include "services/replicator/transport/secret.h"

namespace dunlin::op {
namespace {

namespace v1 = replication::v1;

std::unique_ptr<v1::ReplicationService::Stub> To(const std::string& address) {
  return v1::ReplicationService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

absl::StatusOr<v1::GetMemberResponse> GetMember(const std::string& address) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetMemberResponse member;
  RETURN_IF_ERROR(FromGrpc(To(address)->GetMember(&context, {}, &member)));
  return member;
}

// Of each address what its member says, or why it does not.
using Answers = std::vector<absl::StatusOr<v1::GetMemberResponse>>;

Answers GetMembers(const std::vector<std::string>& addresses) {
  struct Call {
    std::unique_ptr<v1::ReplicationService::Stub> stub;
    grpc::ClientContext context;
    v1::GetMemberRequest request;
    v1::GetMemberResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::GetMemberResponse>> reader;
  };
  grpc::CompletionQueue done;
  std::vector<std::unique_ptr<Call>> calls;
  for (const std::string& address : addresses) {
    Call& call = *calls.emplace_back(std::make_unique<Call>());
    call.stub = To(address);
    SetDeadline(call.context);
    call.reader = call.stub->AsyncGetMember(&call.context, call.request, &done);
    call.reader->Finish(&call.response, &call.status, &call);
  }
  // Each of them ends, at its deadline at the latest.
  done.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (done.Next(&tag, &ok)) {
  }
  Answers answers;
  for (const std::unique_ptr<Call>& call : calls) {
    const absl::Status status = FromGrpc(call->status);
    if (status.ok()) {
      answers.emplace_back(std::move(call->response));
    } else {
      answers.emplace_back(status);
    }
  }
  return answers;
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
  ASSIGN_OR_RETURN(*request.mutable_credential(), CredentialFor(master, "Switchover", to));
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
  ASSIGN_OR_RETURN(*request.mutable_credential(), CredentialFor(master, "ChangeMembers", text));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ChangeMembersResponse response;
  return FromGrpc(To(master.address)->ChangeMembers(&context, request, &response));
}

absl::StatusOr<v1::Credential> GrpcGroupControl::CredentialFor(const Master& master,
                                                               std::string_view method,
                                                               std::string_view argument) const {
  replicator::Secret secret;
  if (!master.secret.empty()) {
    ASSIGN_OR_RETURN(secret, replicator::Secret::Parse(
                                 master.secret, fmt::format("the Secret of {}", master.group)));
  }
  return replicator::MakeCredential(
      secret, caller_,
      {.method = method, .group = master.group, .called = master.member, .argument = argument},
      clock_.Now());
}

absl::StatusOr<Coordination> GrpcGroupControl::Ask(const std::vector<std::string>& addresses) {
  std::optional<v1::GetMemberResponse> best;
  std::string why = "there are no members";
  std::string hearsay;
  uint32_t hearsay_epoch = 0;
  Answers answers = GetMembers(addresses);
  for (size_t i = 0; i < answers.size(); ++i) {
    absl::StatusOr<v1::GetMemberResponse>& member = answers[i];
    if (!member.ok()) {
      why = fmt::format("{}: {}", addresses[i], std::string(member.status().message()));
      continue;
    }
    if (!member->master().empty() && (hearsay.empty() || member->epoch() > hearsay_epoch)) {
      hearsay = member->master();
      hearsay_epoch = member->epoch();
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
  } else {
    coordination.hearsay = std::move(hearsay);
  }
  return coordination;
}

}  // namespace dunlin::op
