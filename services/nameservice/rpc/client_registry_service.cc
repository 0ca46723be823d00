#include "services/nameservice/rpc/client_registry_service.h"

#include <fmt/format.h>

namespace dunlin::nameservice {
namespace {

class RefusedSession final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RefusedSession(const grpc::Status& why) { Finish(why); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::Status ClientRegistryServiceImpl::NotHere(const char* method) const {
  return {grpc::StatusCode::PERMISSION_DENIED,
          fmt::format("{} is not for clients, and this port (registry.clients_listen_address) is "
                      "for them alone; port {} of the name service has it",
                      method, port_)};
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::Refuse(Context& context,
                                                            const char* method) const {
  grpc::ServerUnaryReactor* const reactor = context.DefaultReactor();
  reactor->Finish(NotHere(method));
  return reactor;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ClientRegistryServiceImpl::Register(
    Context* /*context*/) {
  return new RefusedSession(NotHere("Register"));  // deletes itself
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::ListClusters(Context* context,
                                                                  const Bytes* request,
                                                                  Bytes* response) {
  return registry_.ListClusters(context, request, response);
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::ListBrokerGroups(Context* context,
                                                                      const Bytes* request,
                                                                      Bytes* response) {
  return registry_.ListBrokerGroups(context, request, response);
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::ListTopics(Context* context,
                                                                const Bytes* request,
                                                                Bytes* response) {
  return registry_.ListTopics(context, request, response);
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::Unregister(Context* context,
                                                                const Bytes* /*request*/,
                                                                Bytes* /*response*/) {
  return Refuse(*context, "Unregister");
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::SetGroupWritable(Context* context,
                                                                      const Bytes* /*request*/,
                                                                      Bytes* /*response*/) {
  return Refuse(*context, "SetGroupWritable");
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::PutValue(Context* context,
                                                              const Bytes* /*request*/,
                                                              Bytes* /*response*/) {
  return Refuse(*context, "PutValue");
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::GetValue(Context* context,
                                                              const Bytes* /*request*/,
                                                              Bytes* /*response*/) {
  return Refuse(*context, "GetValue");
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::DeleteValue(Context* context,
                                                                 const Bytes* /*request*/,
                                                                 Bytes* /*response*/) {
  return Refuse(*context, "DeleteValue");
}

grpc::ServerUnaryReactor* ClientRegistryServiceImpl::ListValues(Context* context,
                                                                const Bytes* /*request*/,
                                                                Bytes* /*response*/) {
  return Refuse(*context, "ListValues");
}

}  // namespace dunlin::nameservice
