// AdminServiceImpl: dunlin.admin.v1.AdminService over Admin. Every call runs on the executor, since
// it may wait for the log or read from disk, and only when its caller may make it (admin_needs.h).
// Methods are raw, so that requests are parsed only once their size was checked.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/broker/access/access_control.h"
#include "services/broker/admin/admin.h"
#include "services/broker/admin/transaction_admin.h"
#include "services/broker/admin/user_admin.h"
#include "services/runtime/executor.h"

namespace dunlin::broker {

namespace internal {

using AdminV1 = admin::v1::AdminService;
using AdminRaw1 =
    AdminV1::WithRawCallbackMethod_DeleteTopic<AdminV1::WithRawCallbackMethod_ListTopics<
        AdminV1::WithRawCallbackMethod_GetTopic<AdminV1::WithRawCallbackMethod_UpdateTopic<
            AdminV1::WithRawCallbackMethod_CreateTopic<AdminV1::Service>>>>>;
using AdminRaw2 =
    AdminV1::WithRawCallbackMethod_DeleteGroup<AdminV1::WithRawCallbackMethod_ListGroups<
        AdminV1::WithRawCallbackMethod_GetGroup<AdminV1::WithRawCallbackMethod_UpdateGroup<
            AdminV1::WithRawCallbackMethod_CreateGroup<AdminRaw1>>>>>;
using AdminRaw3 = AdminV1::WithRawCallbackMethod_RecheckTransaction<
    AdminV1::WithRawCallbackMethod_ResolveTransaction<AdminV1::WithRawCallbackMethod_GetTransaction<
        AdminV1::WithRawCallbackMethod_ListTransactions<AdminRaw2>>>>;
using AdminRaw4 = AdminV1::WithRawCallbackMethod_Checkpoint<
    AdminV1::WithRawCallbackMethod_GetBroker<AdminV1::WithRawCallbackMethod_ListClients<
        AdminV1::WithRawCallbackMethod_TraceMessages<AdminV1::WithRawCallbackMethod_GetMessages<
            AdminV1::WithRawCallbackMethod_ResetOffset<AdminRaw3>>>>>>;
using AdminRaw5 = AdminV1::WithRawCallbackMethod_SkipMessages<
    AdminV1::WithRawCallbackMethod_CloneOffsets<AdminRaw4>>;
using AdminRaw6 = AdminV1::WithRawCallbackMethod_PurgeDeadLetters<
    AdminV1::WithRawCallbackMethod_ResendDeadLetters<AdminV1::WithRawCallbackMethod_GetDeadLetters<
        AdminV1::WithRawCallbackMethod_ListDeadLetters<AdminRaw5>>>>;
using AdminRaw7 = AdminV1::WithRawCallbackMethod_GetLiteTopic<
    AdminV1::WithRawCallbackMethod_ListLiteTopics<AdminRaw6>>;
using AdminMethods =
    AdminV1::WithRawCallbackMethod_DeleteUser<AdminV1::WithRawCallbackMethod_ListUsers<
        AdminV1::WithRawCallbackMethod_GetUser<AdminV1::WithRawCallbackMethod_UpdateUser<
            AdminV1::WithRawCallbackMethod_CreateUser<AdminRaw7>>>>>;

}  // namespace internal

class AdminServiceImpl : public internal::AdminMethods {
 public:
  // All must outlive the server this is registered with.
  struct Rooms {
    Admin& admin;
    TransactionAdmin& transactions;
    UserAdmin& users;
    const AccessControl& access;
    Executor& executor;
  };
  explicit AdminServiceImpl(const Rooms& rooms)
      : admin_(rooms.admin),
        transactions_(rooms.transactions),
        users_(rooms.users),
        access_(rooms.access),
        executor_(rooms.executor) {}

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* CreateTopic(Context* context, const Bytes* request, Bytes* response) override;
  Unary* UpdateTopic(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetTopic(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListTopics(Context* context, const Bytes* request, Bytes* response) override;
  Unary* DeleteTopic(Context* context, const Bytes* request, Bytes* response) override;
  Unary* CreateGroup(Context* context, const Bytes* request, Bytes* response) override;
  Unary* UpdateGroup(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetGroup(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListGroups(Context* context, const Bytes* request, Bytes* response) override;
  Unary* DeleteGroup(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ResetOffset(Context* context, const Bytes* request, Bytes* response) override;
  Unary* SkipMessages(Context* context, const Bytes* request, Bytes* response) override;
  Unary* CloneOffsets(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListDeadLetters(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetDeadLetters(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ResendDeadLetters(Context* context, const Bytes* request, Bytes* response) override;
  Unary* PurgeDeadLetters(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListLiteTopics(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetLiteTopic(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetMessages(Context* context, const Bytes* request, Bytes* response) override;
  Unary* TraceMessages(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListTransactions(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetTransaction(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ResolveTransaction(Context* context, const Bytes* request, Bytes* response) override;
  Unary* RecheckTransaction(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListClients(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetBroker(Context* context, const Bytes* request, Bytes* response) override;
  Unary* Checkpoint(Context* context, const Bytes* request, Bytes* response) override;
  Unary* CreateUser(Context* context, const Bytes* request, Bytes* response) override;
  Unary* UpdateUser(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetUser(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListUsers(Context* context, const Bytes* request, Bytes* response) override;
  Unary* DeleteUser(Context* context, const Bytes* request, Bytes* response) override;

 private:
  // Answers with what `obey` makes of a const Request&: a StatusOr of the response.
  template <typename Request, typename Command>
  Unary* Answer(const Context& context, const Bytes& request, Bytes& response, Command obey);
  // The same on this thread; `obey` gets what to tell a StatusOr of the response, or an error, when
  // it has one: on any thread, once.
  template <typename Request, typename Command>
  Unary* AnswerLater(const Context& context, const Bytes& request, Bytes& response, Command obey);
  // Fills `parsed`. Errors: those of its size and form, UNAUTHENTICATED, PERMISSION_DENIED.
  template <typename Request>
  absl::Status Admit(const Caller& caller, const Bytes& request, Request& parsed) const;

  Admin& admin_;
  TransactionAdmin& transactions_;
  UserAdmin& users_;
  const AccessControl& access_;
  Executor& executor_;
};

}  // namespace dunlin::broker
