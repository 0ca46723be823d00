// SubscribeCall: one Subscribe stream; attaches, credit and verdicts in, frames of the log out.
//
// One frame is written at a time. The next is made when it is gone, for the binding whose turn it
// is, as long as there is credit; where much waits, already while it is on its way. Bindings
// without anything wait in the waiting room.

#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

#include "proto/dunlin/broker/v1/streams.pb.h"
#include "services/base/mutex.h"
#include "services/broker/rpc/attachment.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/open_streams.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// Lives until gRPC, the waiting room and the executor are done with it.
class SubscribeCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public OpenStream,
                            public std::enable_shared_from_this<SubscribeCall> {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      ServiceContext& services, OpenStreams& open_streams,
      const grpc::CallbackServerContext& context);

  void EndForStop() override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  SubscribeCall(ServiceContext& services, OpenStreams& open_streams,
                const grpc::CallbackServerContext& context);

  // An error ends the stream. False: the next read starts later.
  absl::StatusOr<bool> Handle(const v1::SubscribeRequest& request);
  absl::Status Open(const v1::OpenSubscribe& open);
  void Attach(const v1::Attach& attach);
  absl::StatusOr<std::shared_ptr<Attachment>> MakeAttachment(const v1::Attach& attach,
                                                             v1::Attached& attached);
  absl::StatusOr<std::shared_ptr<Attachment>> MakeOffsetAttachment(
      const v1::Attach& attach, const std::shared_ptr<const Topic>& topic, MessageFilter filter,
      v1::Attached& attached);
  absl::StatusOr<std::shared_ptr<Attachment>> MakeGroupAttachment(
      const v1::Attach& attach, const std::shared_ptr<const Topic>& topic, MessageFilter filter);
  std::function<void(Attachment&)> TellWhenReady();
  absl::StatusOr<QueueOffset> StartOf(const v1::OffsetMode& mode, QueueKey queue,
                                      const store::QueueBounds& bounds) const;
  absl::Status AddCredit(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Settle(const v1::Settle& settle) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Commit(const v1::CommitOffset& commit) ABSL_LOCKS_EXCLUDED(mutex_);
  // For group_; what is outside the queue counts as its next end.
  absl::Status SetOffset(QueueKey queue, QueueOffset offset);
  void Detach(uint32_t binding, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<Attachment>> Find(uint32_t binding) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  void ReadOn() ABSL_LOCKS_EXCLUDED(mutex_);
  void BecomeReady(Attachment& attachment) ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes what there is to write, and makes frames while there is credit.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  // What Pump does next: null when it has nothing to do, and is not pumping any more.
  std::shared_ptr<Attachment> TakeTurn() ABSL_LOCKS_EXCLUDED(mutex_);
  void TakeResult(const std::shared_ptr<Attachment>& attachment, Attachment::Produced produced)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // REQUIRES: !writing_.
  void Write(const grpc::ByteBuffer& bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasUnsent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  ServiceContext& services_;
  OpenStreams& open_streams_;
  const CallContext call_;
  std::shared_ptr<SubscribeCall> self_;  // keeps this until OnDone

  // Of the read under way, and what handles it; one thread at a time.
  grpc::ByteBuffer received_;
  bool opened_ = false;
  std::shared_ptr<const Group> group_;  // null: none

  mutable Mutex mutex_;
  absl::flat_hash_map<uint32_t, std::shared_ptr<Attachment>> attachments_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Attachment>> ready_ ABSL_GUARDED_BY(mutex_);
  v1::SubscribeResponse unsent_ ABSL_GUARDED_BY(mutex_);  // everything but frames
  grpc::ByteBuffer sending_ ABSL_GUARDED_BY(mutex_);      // of the write under way
  struct Made {
    uint32_t binding;
    RecordFrame::Encoded frame;
  };
  std::optional<Made> made_ ABSL_GUARDED_BY(mutex_);  // goes next
  bool last_was_full_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t credit_ ABSL_GUARDED_BY(mutex_) = 0;
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
