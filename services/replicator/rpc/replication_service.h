// ReplicationServiceImpl: dunlin.replication.v1.ReplicationService over the driver of this member;
// checks credentials, knows no rules.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <set>

#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/replicator/driver/member_driver.h"
#include "services/replicator/transport/handshake.h"

namespace dunlin::replicator {

class ReplicationServiceImpl final
    : public v1::ReplicationService::WithRawCallbackMethod_Follow<
          v1::ReplicationService::WithCallbackMethod_GetMember<
              v1::ReplicationService::WithCallbackMethod_Promise<
                  v1::ReplicationService::WithCallbackMethod_Pledge<
                      v1::ReplicationService::WithCallbackMethod_Reach<
                          v1::ReplicationService::WithCallbackMethod_Switchover<
                              v1::ReplicationService::WithCallbackMethod_Elect<
                                  v1::ReplicationService::WithCallbackMethod_ChangeMembers<
                                      v1::ReplicationService::Service>>>>>>>> {
 public:
  // All must outlive the server this is registered with.
  ReplicationServiceImpl(const Identity& identity, MemberDriver& driver, const Clock& clock)
      : identity_(identity), driver_(driver), clock_(clock) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Follow(
      grpc::CallbackServerContext* context) override {
    return driver_.sender().Follow(*context);
  }
  grpc::ServerUnaryReactor* GetMember(grpc::CallbackServerContext* context,
                                      const v1::GetMemberRequest* request,
                                      v1::GetMemberResponse* response) override;
  grpc::ServerUnaryReactor* Promise(grpc::CallbackServerContext* context,
                                    const v1::PromiseRequest* request,
                                    v1::PromiseResponse* response) override;
  grpc::ServerUnaryReactor* Pledge(grpc::CallbackServerContext* context,
                                   const v1::PledgeRequest* request,
                                   v1::PledgeResponse* response) override;
  grpc::ServerUnaryReactor* Reach(grpc::CallbackServerContext* context,
                                  const v1::ReachRequest* request,
                                  v1::ReachResponse* response) override;
  grpc::ServerUnaryReactor* Switchover(grpc::CallbackServerContext* context,
                                       const v1::SwitchoverRequest* request,
                                       v1::SwitchoverResponse* response) override;
  grpc::ServerUnaryReactor* Elect(grpc::CallbackServerContext* context,
                                  const v1::ElectRequest* request,
                                  v1::ElectResponse* response) override;
  grpc::ServerUnaryReactor* ChangeMembers(grpc::CallbackServerContext* context,
                                          const v1::ChangeMembersRequest* request,
                                          v1::ChangeMembersResponse* response) override;

 private:
  // That the call is meant for this group, and comes from who may.
  grpc::Status Check(const std::string& group, const v1::Credential& credential,
                     std::string_view method, std::string_view argument) const;

  const Identity& identity_;
  MemberDriver& driver_;
  const Clock& clock_;
};

}  // namespace dunlin::replicator
