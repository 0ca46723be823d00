// NotMasterService: what a member answers while it is not the master, to every call that it does
// not serve. Requests about messages are passed on to the right master, when there are name
// services that know it; other calls of apache.rocketmq.v2 get HA_NOT_AVAILABLE, those of other
// services UNAVAILABLE, so that clients go elsewhere.

#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <string>
#include <utility>

#include "services/base/mutex.h"
#include "services/broker/rpc/other_brokers.h"

namespace dunlin::broker {

class NotMasterService final : public grpc::CallbackGenericService {
 public:
  // `why` is told, and ends with the way out: to the master. `others` may be null: nothing is
  // passed on; else they outlive the service.
  NotMasterService(std::string why, OtherBrokers* others) : why_(std::move(why)), others_(others) {}

  // Where the master is, "host:port"; empty: nobody knows. Any thread.
  void SetMaster(std::string address) ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  const std::string why_;
  OtherBrokers* const others_;
  Mutex mutex_;
  std::string master_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
