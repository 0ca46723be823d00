#include "services/replicator/rpc/replication_service.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "services/base/status_macros.h"
#include "services/replicator/rpc/roster_request.h"
#include "services/replicator/transport/credential.h"
#include "services/replicator/transport/wire.h"

namespace dunlin::replicator {
namespace {

// The codes are the same numbers.
grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

grpc::ServerUnaryReactor* Finished(grpc::CallbackServerContext& context,
                                   const grpc::Status& status) {
  grpc::ServerUnaryReactor* const reactor = context.DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// Finishes its call: with what it is told, or with UNAVAILABLE when it is dropped because the
// member stops.
class Answer {
 public:
  explicit Answer(grpc::ServerUnaryReactor* reactor) : reactor_(reactor) {}
  Answer(Answer&& other) noexcept : reactor_(std::exchange(other.reactor_, nullptr)) {}
  Answer& operator=(Answer&&) = delete;
  ~Answer() { Finish({grpc::StatusCode::UNAVAILABLE, "the member stops"}); }
  void Finish(const grpc::Status& status) {
    if (auto* const reactor = std::exchange(reactor_, nullptr); reactor != nullptr) {
      reactor->Finish(status);
    }
  }

 private:
  grpc::ServerUnaryReactor* reactor_;
};

}  // namespace

grpc::Status ReplicationServiceImpl::Check(const std::string& group,
                                           const v1::Credential& credential,
                                           std::string_view method,
                                           std::string_view argument) const {
  if (group != identity_.group) {
    return {grpc::StatusCode::FAILED_PRECONDITION,
            fmt::format("this is {} of group \"{}\", not of \"{}\"", identity_.member,
                        identity_.group, group)};
  }
  return ToGrpc(CheckCredential(identity_.secret, credential,
                                {method, group, identity_.member, argument}, clock_.Now()));
}

grpc::ServerUnaryReactor* ReplicationServiceImpl::GetMember(grpc::CallbackServerContext* context,
                                                            const v1::GetMemberRequest* /*request*/,
                                                            v1::GetMemberResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  driver_.Describe(
      [response, answer = Answer(reactor)](const v1::GetMemberResponse& description) mutable {
        *response = description;
        answer.Finish(grpc::Status::OK);
      });
  return reactor;
}

grpc::ServerUnaryReactor* ReplicationServiceImpl::Promise(grpc::CallbackServerContext* context,
                                                          const v1::PromiseRequest* request,
                                                          v1::PromiseResponse* response) {
  const grpc::Status checked =
      Check(request->group(), request->credential(), "Promise", std::to_string(request->epoch()));
  if (!checked.ok()) return Finished(*context, checked);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  driver_.AskPromise(request->candidate(), Epoch(request->epoch()),
                     [response, answer = Answer(reactor)](const PromiseAnswer& promise) mutable {
                       *response = ToWire(promise);
                       answer.Finish(grpc::Status::OK);
                     });
  return reactor;
}

grpc::ServerUnaryReactor* ReplicationServiceImpl::Pledge(grpc::CallbackServerContext* context,
                                                         const v1::PledgeRequest* request,
                                                         v1::PledgeResponse* response) {
  const grpc::Status checked =
      Check(request->group(), request->credential(), "Pledge", ArgumentOf(*request));
  if (!checked.ok()) return Finished(*context, checked);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  driver_.AskPledge(FromWire(*request),
                    [response, answer = Answer(reactor)](const PledgeAnswer& pledge) mutable {
                      *response = ToWire(pledge);
                      answer.Finish(grpc::Status::OK);
                    });
  return reactor;
}

grpc::ServerUnaryReactor* ReplicationServiceImpl::Reach(grpc::CallbackServerContext* context,
                                                        const v1::ReachRequest* request,
                                                        v1::ReachResponse* response) {
  const grpc::Status checked =
      Check(request->group(), request->credential(), "Reach", request->member());
  if (!checked.ok()) return Finished(*context, checked);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  driver_.Reach(request->member(),
                [response, answer = Answer(reactor)](const absl::Status& reached) mutable {
                  if (absl::IsNotFound(reached)) return answer.Finish(ToGrpc(reached));
                  response->set_problem(std::string(reached.message()));
                  answer.Finish(grpc::Status::OK);
                });
  return reactor;
}

grpc::ServerUnaryReactor* ReplicationServiceImpl::Switchover(grpc::CallbackServerContext* context,
                                                             const v1::SwitchoverRequest* request,
                                                             v1::SwitchoverResponse* /*response*/) {
  const grpc::Status checked =
      Check(request->group(), request->credential(), "Switchover", request->successor());
  if (!checked.ok()) return Finished(*context, checked);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  driver_.SwitchOver(request->successor(),
                     [answer = Answer(reactor)](const absl::Status& begun) mutable {
                       answer.Finish(ToGrpc(begun));
                     });
  return reactor;
}

grpc::ServerUnaryReactor* ReplicationServiceImpl::Elect(grpc::CallbackServerContext* context,
                                                        const v1::ElectRequest* request,
                                                        v1::ElectResponse* /*response*/) {
  const grpc::Status checked =
      Check(request->group(), request->credential(), "Elect", request->clean() ? "clean" : "");
  if (!checked.ok()) return Finished(*context, checked);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  auto finish = [answer = Answer(reactor)](const absl::Status& begun) mutable {
    answer.Finish(ToGrpc(begun));
  };
  if (request->clean()) {
    driver_.Elect(std::move(finish));
  } else {
    driver_.ElectUnclean(std::move(finish));
  }
  return reactor;
}

grpc::ServerUnaryReactor* ReplicationServiceImpl::ChangeMembers(
    grpc::CallbackServerContext* context, const v1::ChangeMembersRequest* request,
    v1::ChangeMembersResponse* /*response*/) {
  const absl::StatusOr<RosterChange> change = RosterChangeOf(*request);
  if (!change.ok()) return Finished(*context, ToGrpc(change.status()));
  const grpc::Status checked =
      Check(request->group(), request->credential(), "ChangeMembers", change->ToString());
  if (!checked.ok()) return Finished(*context, checked);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  driver_.ChangeRoster(*change, [answer = Answer(reactor)](const absl::Status& begun) mutable {
    answer.Finish(ToGrpc(begun));
  });
  return reactor;
}

}  // namespace dunlin::replicator
