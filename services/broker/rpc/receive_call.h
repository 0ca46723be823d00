// ReceiveCall: one ReceiveMessage stream; takes, waits, writes, gives back what was not written.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/mutex.h"
#include "services/broker/access/permit.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/delivery/waiting_room.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// On the stream: one status, the messages, the time of delivery; gRPC status OK whatever the
// verdict. Keeps itself alive until gRPC is done with it.
class ReceiveCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                          public Waiter,
                          public std::enable_shared_from_this<ReceiveCall> {
 public:
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(
      ServiceContext& services, const grpc::CallbackServerContext& context,
      const grpc::ByteBuffer& request);

  Outcome TryServe() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnTimeout() override;

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

 private:
  enum class State { kWaiting, kWriting, kFinished };

  ReceiveCall(ServiceContext& services, const grpc::CallbackServerContext& context);

  void Run(const grpc::ByteBuffer& request);
  // Checks all but the group; fills what is known of the subscription.
  absl::Status Check();
  // The filter is the one of its group. PRECONDITION_FAILED otherwise.
  absl::Status EnterSubscription();
  bool IsFilterInForce() const;
  absl::StatusOr<std::chrono::milliseconds> PollingTime() const;
  // The group is one that exists; checks that it may consume from the topic.
  absl::Status SetGroup(std::shared_ptr<const Group> group);
  void Wait();
  // What has changed while it waited: its topic may have got more queues or be closed, its group
  // may have become an ordered one. Why it gets nothing any more, if so.
  absl::Status LookAgain();
  // The first claims the call; false when somebody else has.
  bool Claim(State to) ABSL_LOCKS_EXCLUDED(mutex_);
  void Answer(const absl::Status& status, std::vector<Delivered> messages);
  void WriteNext();
  // Element `index` of the stream: the status, the messages, the time of delivery.
  grpc::ByteBuffer Element(size_t index);

  ServiceContext& services_;
  const CallContext call_;
  apache::rocketmq::v2::ReceiveMessageRequest request_;
  Subscription subscription_;
  Permit permit_;
  Timestamp deadline_;
  std::shared_ptr<ReceiveCall> self_;

  Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kWaiting;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;

  // Set by whoever claimed the call, then used by one callback at a time.
  apache::rocketmq::v2::Status status_;
  std::vector<Delivered> messages_;
  std::vector<grpc::ByteBuffer> encoded_;  // of each of messages_
  size_t next_ = 0;                        // element to write: status, messages, time
  size_t written_ = 0;                     // messages whose write was done
  grpc::ByteBuffer element_;
};

}  // namespace dunlin::broker
