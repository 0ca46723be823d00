// ClientRegistryServiceImpl: what clients alone may have of dunlin.nameservice.v1.RegistryService,
// at a port of their own: to look at clusters, groups and topics. Everything else is refused with a
// word on the port that has it.

#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>

#include "services/nameservice/rpc/registry_service.h"

namespace dunlin::nameservice {

class ClientRegistryServiceImpl final : public internal::RegistryMethods {
 public:
  // `registry` must outlive the server this is registered with; it is served at `port` whole.
  ClientRegistryServiceImpl(RegistryServiceImpl& registry, uint16_t port)
      : registry_(registry), port_(port) {}

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* ListClusters(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListBrokerGroups(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListTopics(Context* context, const Bytes* request, Bytes* response) override;

  grpc::ServerBidiReactor<Bytes, Bytes>* Register(Context* context) override;
  Unary* Unregister(Context* context, const Bytes* request, Bytes* response) override;
  Unary* SetGroupWritable(Context* context, const Bytes* request, Bytes* response) override;
  Unary* PutValue(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetValue(Context* context, const Bytes* request, Bytes* response) override;
  Unary* DeleteValue(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListValues(Context* context, const Bytes* request, Bytes* response) override;

 private:
  grpc::Status NotHere(const char* method) const;
  Unary* Refuse(Context& context, const char* method) const;

  RegistryServiceImpl& registry_;
  const uint16_t port_;
};

}  // namespace dunlin::nameservice
