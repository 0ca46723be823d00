// PullCall: one PullMessage stream; reads a queue from an offset on, without leases.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"
#include "services/broker/access/permit.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/delivery/waiting_room.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// On the stream: one status, the messages, the next offset. Keeps itself alive until gRPC is done.
class PullCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                       public Waiter,
                       public std::enable_shared_from_this<PullCall> {
 public:
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(
      ServiceContext& services, const grpc::CallbackServerContext& context,
      const grpc::ByteBuffer& request);

  Outcome TryServe() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnTimeout() override;

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override { self_.reset(); }

 private:
  PullCall(ServiceContext& services, const grpc::CallbackServerContext& context);

  void Run(const grpc::ByteBuffer& request);
  absl::Status Check();
  bool Claim() ABSL_LOCKS_EXCLUDED(mutex_);
  void Answer(const absl::Status& status, Taker::Pulled pulled);
  void WriteNext();
  // Element `index` of the stream: the status, the messages, the next offset.
  grpc::ByteBuffer Element(size_t index);

  ServiceContext& services_;
  const CallContext call_;
  apache::rocketmq::v2::PullMessageRequest request_;
  Reading reading_;
  Permit permit_;
  Timestamp deadline_;
  std::shared_ptr<PullCall> self_;

  Mutex mutex_;
  bool claimed_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;

  // Set by whoever claimed the call, then used by one callback at a time.
  apache::rocketmq::v2::Status status_;
  std::vector<grpc::ByteBuffer> messages_;  // encoded
  QueueOffset next_offset_;
  size_t next_ = 0;  // element to write: status, messages, next offset
  grpc::ByteBuffer element_;
};

}  // namespace dunlin::broker
