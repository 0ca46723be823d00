// NotMasterService: what a member answers while it is not the master, to every call that it does
// not serve: those of apache.rocketmq.v2 get HA_NOT_AVAILABLE, others UNAVAILABLE, so that clients
// go elsewhere.

#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <string>
#include <utility>

#include "services/base/mutex.h"

namespace dunlin::broker {

class NotMasterService final : public grpc::CallbackGenericService {
 public:
  // `why` is told, and ends with the way out: to the master.
  explicit NotMasterService(std::string why) : why_(std::move(why)) {}

  // Where the master is, "host:port"; empty: nobody knows. Any thread.
  void SetMaster(std::string address) ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  const std::string why_;
  Mutex mutex_;
  std::string master_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
