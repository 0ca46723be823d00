// CallContext: what the headers of a call say about its caller.

#pragma once

#include <grpcpp/server_context.h>

#include <chrono>
#include <string>

#include "services/broker/access/access_control.h"

namespace dunlin::broker {

struct CallContext {
  // x-mq-client-id; empty when missing or blank. With access control "user/id": who names another
  // user's client ends neither its leases nor its subscriptions.
  std::string client_id;
  std::string language;    // x-mq-language, free text
  std::string version;     // x-mq-client-version
  std::string name_space;  // x-mq-namespace: for resources that name none
  std::string zone;        // x-dunlin-zone: of whose brokers alone it wants to hear
  std::string peer;        // as gRPC names it
  // When the caller gives up; far in the future when it did not say.
  std::chrono::system_clock::time_point deadline;
  Caller caller;  // nobody, unless it was read with AccessControl
};

CallContext ReadCallContext(const grpc::CallbackServerContext& context);
// With who calls.
CallContext ReadCallContext(const AccessControl& access,
                            const grpc::CallbackServerContext& context);
Caller ReadCaller(const AccessControl& access, const grpc::CallbackServerContext& context);

}  // namespace dunlin::broker
