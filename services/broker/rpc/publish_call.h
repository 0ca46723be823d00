// PublishCall: one Publish stream; frames in, acknowledgements out in as few writes as it takes.
//
// Requests are handled one at a time, as gRPC reads them: checked, appended, forgotten until the
// log says that they are durable. Queues are bound by another thread meanwhile; only a frame for
// one that is not bound yet waits. Answers collect while a write is under way.

#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"

#include "proto/dunlin/broker/v1/streams.pb.h"
#include "services/base/mutex.h"
#include "services/broker/access/permit.h"
#include "services/broker/admission/admission.h"
#include "services/broker/admission/intake.h"
#include "services/broker/producers/producer_table.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/frame_builder.h"
#include "services/broker/rpc/open_streams.h"
#include "services/broker/rpc/publish_answers.h"
#include "services/broker/rpc/refused_bindings.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/wire/frame_scanner.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

// Lives until gRPC and the log are both done with it.
class PublishCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                          public OpenStream {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      ServiceContext& services, OpenStreams& open_streams,
      const grpc::CallbackServerContext& context);

  void EndForStop() override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override;
  void OnDone() override;

 private:
  using Error = v1::PublishError;

  // What a binding stands for.
  struct Binding {
    std::shared_ptr<const Topic> topic;
    uint32_t queue = 0;
    std::shared_ptr<ProducerQueue> producer;  // null without idempotence
    bool ready = false;                       // else it is being bound
    Permit permit;
  };
  // What a frame's number stands for; neither: it is not known yet, and the frame is held.
  struct Found {
    Binding* binding = nullptr;
    absl::Status refused;
  };
  // A frame on its way to the disk.
  class Pending;

  PublishCall(ServiceContext& services, OpenStreams& open_streams,
              const grpc::CallbackServerContext& context);

  // Handles `received_`, and reads on.
  void Receive() ABSL_LOCKS_EXCLUDED(mutex_);
  // An error ends the stream. False: the request is held until a queue is bound.
  absl::StatusOr<bool> Handle(std::string_view request);
  absl::Status Open(std::string_view bytes);
  // Answers on another thread.
  absl::Status Bind(std::string_view bytes);
  void FinishBind(const v1::BindQueue& bind, absl::StatusOr<std::shared_ptr<const Topic>> topic);
  // `last`: what the producer stored last in the queue of `binding`. Waits for the disk.
  absl::Status BindProducer(uint64_t next_sequence, Binding& binding, uint64_t& last)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckBind(const v1::BindQueue& bind, const Topic& topic) const;
  // False: its binding is not ready yet.
  absl::StatusOr<bool> StoreFrame(std::string_view bytes, size_t request_size)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status StoreIn(Binding& binding, size_t request_size);
  absl::StatusOr<Found> FindBinding(uint32_t number) ABSL_LOCKS_EXCLUDED(mutex_);
  // What the topic says to a frame as a whole.
  absl::Status CheckTopic(Binding& binding);
  // Leaves out what cannot be stored, with the reason.
  void BuildFrame(const Binding& binding, uint64_t skip, std::vector<Error>& errors);
  absl::Status Append(Binding& binding, size_t request_size, Intake::Place place);
  // What the producer stored before is told to it only when it is durable. Waits for the disk.
  absl::Status AwaitCommitted(LogOffset end) const;
  absl::Status AppendBuilt(const std::shared_ptr<Pending>& pending);
  // How many messages of the frame the producer stored before; they are answered with `pending`.
  uint64_t SkipStored(const ProducerQueue& queue, Pending& pending) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(queue.mutex);

  // The log is done with a frame.
  void Settle(const Pending& pending, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void Count(int64_t frames, int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void Tell(const std::vector<Error>& errors) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unbind(const Binding& binding);
  void ReadOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteOrFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  ServiceContext& services_;
  OpenStreams& open_streams_;
  const CallContext call_;
  uint32_t client_ = 0;  // in the trace
  const Limits limits_;
  std::shared_ptr<PublishCall> self_;  // until OnDone

  // Of the read under way, and what handles it; one thread at a time.
  grpc::ByteBuffer received_;
  bool opened_ = false;
  uint64_t producer_id_ = 0;
  RawFrame frame_;
  FrameBuilder builder_;

  Mutex mutex_;
  // Those that are ready belong to the thread that handles a request; they do not move.
  absl::node_hash_map<uint32_t, Binding> bindings_ ABSL_GUARDED_BY(mutex_);
  RefusedBindings refused_ ABSL_GUARDED_BY(mutex_);
  int binds_under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;  // received_ waits for a binding
  PublishAnswers unsent_ ABSL_GUARDED_BY(mutex_);
  grpc::ByteBuffer sending_ ABSL_GUARDED_BY(mutex_);  // of the write under way
  int64_t unanswered_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t pending_ ABSL_GUARDED_BY(mutex_) = 0;
  bool read_waits_ ABSL_GUARDED_BY(mutex_) = false;  // for credit
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;  // the client says no more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
