// RegisterCall: one Register stream, the session of a broker member.
//
// Requests go to the directory as they come. What the member is to hear is kept as marks, so that
// one that reads slowly hears of the newest state and costs no memory.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"

#include "proto/dunlin/nameservice/v1/registry.pb.h"
#include "services/base/mutex.h"
#include "services/broker/rpc/open_streams.h"
#include "services/nameservice/rpc/route_directory.h"

namespace dunlin::nameservice {

// Lives until gRPC and the directory are done with it.
class RegisterCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                           public broker::OpenStream,
                           public MemberSession,
                           public std::enable_shared_from_this<RegisterCall> {
 public:
  // What every session is told.
  struct Terms {
    uint32_t session_timeout_ms = 0;
  };
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      RouteDirectory& directory, broker::OpenStreams& open_streams, const Terms& terms);

  void EndForStop() override;
  void OnSendTable() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnGroupChanged() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnded(const absl::Status& reason) override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override;
  void OnDone() override;

 private:
  RegisterCall(RouteDirectory& directory, broker::OpenStreams& open_streams, const Terms& terms)
      : directory_(directory), open_streams_(open_streams), terms_(terms) {}

  // An error ends the stream.
  absl::Status Handle(const grpc::ByteBuffer& bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status HandleHello(const v1::Hello& hello) ABSL_LOCKS_EXCLUDED(mutex_);
  // A hello was accepted, whatever became of the session since.
  bool IsRegistered() ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes what there is to say.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<v1::RegisterResponse> Next() ABSL_LOCKS_EXCLUDED(mutex_);
  void End(const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  RouteDirectory& directory_;
  broker::OpenStreams& open_streams_;
  const Terms terms_;
  std::shared_ptr<RegisterCall> self_;  // until OnDone
  SessionId session_;

  // Of the read under way, and what handles it; one thread at a time.
  grpc::ByteBuffer received_;

  Mutex mutex_;
  std::string group_ ABSL_GUARDED_BY(mutex_);      // empty: no hello was accepted yet
  bool welcomed_ ABSL_GUARDED_BY(mutex_) = false;  // it has been told so
  bool send_table_ ABSL_GUARDED_BY(mutex_) = false;
  bool group_changed_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ByteBuffer sending_ ABSL_GUARDED_BY(mutex_);  // of the write under way
  bool pumping_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::nameservice
