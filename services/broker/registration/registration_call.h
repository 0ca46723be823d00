// RegistrationCall: one Register call to a name service, from its start to its end.
//
// A thin reactor: what was heard is kept until the session looks (Look), and `on_news` says when to
// look. Thread-safe; nothing waits but the destructor, for gRPC to be done with the call.

#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <optional>

#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "services/base/mutex.h"

namespace dunlin::broker {

class RegistrationCall final : public grpc::ClientBidiReactor<nameservice::v1::RegisterRequest,
                                                              nameservice::v1::RegisterResponse> {
 public:
  using Stub = nameservice::v1::RegistryService::Stub;

  // Connects when need be; a name service that is not there ends the call.
  RegistrationCall(Stub& stub, std::function<void()> on_news);
  ~RegistrationCall() override;

  struct News {
    bool may_write = false;
    std::optional<nameservice::v1::Welcome> welcome;   // since the last look
    bool send_table = false;                           // since the last look
    std::optional<nameservice::v1::GroupState> group;  // since the last look; the newest
    std::optional<grpc::Status> ended;
  };
  News Look() ABSL_LOCKS_EXCLUDED(mutex_);

  // REQUIRES: the last Look said that it may be.
  void Write(nameservice::v1::RegisterRequest request) ABSL_LOCKS_EXCLUDED(mutex_);

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const std::function<void()> on_news_;
  grpc::ClientContext context_;
  nameservice::v1::RegisterResponse received_;  // of the read under way

  Mutex mutex_;
  CondVar done_;
  nameservice::v1::RegisterRequest sending_ ABSL_GUARDED_BY(mutex_);
  News news_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // nothing can be written any more
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;    // gRPC is done, and OnDone nearly so
};

}  // namespace dunlin::broker
