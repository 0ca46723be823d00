// CallbackThreads: keeps gRPC's threads for callbacks alive.
//
// They live as long as any channel that has used them. A channel that is given up by a callback, on
// one of these threads, must not be the last: the thread would wait for its own end, and go on in
// freed memory. Whoever gives channels up in callbacks holds one of these, made before the first
// channel and gone, on a thread of its own, after the last.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/synchronization/notification.h"

namespace dunlin::replicator {

class CallbackThreads {
 public:
  CallbackThreads();
  ~CallbackThreads();
  CallbackThreads(const CallbackThreads&) = delete;
  CallbackThreads& operator=(const CallbackThreads&) = delete;

 private:
  const std::shared_ptr<grpc::Channel> channel_;  // to nobody
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  absl::Notification failed_;
};

}  // namespace dunlin::replicator
