// SubscribeStream: one Subscribe call to a broker, made again whenever it breaks.
//
// Keeps the broker's credit at what the consumer has room for, writes what the consumer has to say
// (many verdicts at a time), and hands on what comes. Thread-safe.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "clients/cpp/src/byte_stream.h"
#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/received_frame.h"
#include "clients/cpp/src/ticker.h"
#include "proto/dunlin/broker/v1/streams.pb.h"

namespace dunlin::internal {

class SubscribeStream;

// Called without a lock, from one of gRPC's threads at a time for each stream.
class SubscribeHost {
 public:
  virtual ~SubscribeHost() = default;
  virtual void OnAttached(const dunlin::broker::v1::Attached& attached) = 0;
  virtual void OnDetached(const dunlin::broker::v1::Detached& detached) = 0;
  virtual void OnSettled(const dunlin::broker::v1::Settled& settled) = 0;
  virtual void OnFrame(SubscribeStream& stream, std::shared_ptr<ReceivedFrame> frame) = 0;
  // The call begins anew: what is to be attached now, and from where.
  virtual std::vector<dunlin::broker::v1::Attach> Attachments(SubscribeStream& stream) = 0;
  // The call is over; it may be made again.
  virtual void OnBroken(SubscribeStream& /*stream*/) {}
  // The broker wants nothing to do with us; there will be no other attempt before Start.
  virtual void OnRejected(SubscribeStream& stream, const absl::Status& status) = 0;
  // The broker cannot be reached, for now.
  virtual void OnTrouble() = 0;
};

class SubscribeStream final : public StreamOwner, public Ticking {
 public:
  // `host` must outlive Shutdown, which must come before the end of the stream.
  SubscribeStream(std::shared_ptr<Connection> connection, std::string group,
                  size_t max_buffered_bytes, SubscribeHost& host);

  // The broker is served by another server, or again: connects there at once.
  void MoveTo(std::shared_ptr<Connection> connection);
  // Whether a call that breaks is made again. Wanted at first.
  void SetWanted(bool wanted);

  // Connects, now and whenever the connection breaks. After a rejection: anew, after a while.
  void Start();
  // Nobody has a use for the call now: it ends, until SetWanted and Start.
  void Rest();
  // The broker has taken the call, and serves it.
  bool IsOpen();
  // Written at once if the call is open; else Attachments tells when it is.
  void Attach(const dunlin::broker::v1::Attach& attach);
  void Detach(uint32_t binding);
  void Settle(uint32_t binding, const dunlin::broker::v1::Verdict& verdict);
  // Kept until AllowCommits, also while the call is broken; dropped with the binding.
  void Commit(uint32_t binding, uint64_t offset);
  // The broker's answer shows that the binding is to the queue that is meant: what it commits is
  // written from now on, until the call ends.
  void AllowCommits(uint32_t binding);
  // What was committed and would be dropped by Detach, because it may not be written yet.
  std::optional<uint64_t> TakeHeldCommit(uint32_t binding);
  // What `from` has committed and was not written yet is committed by `to`.
  void PassOnCommit(uint32_t from, uint32_t to);
  // The consumer is done with a frame of so many bytes.
  void ReturnCredit(size_t bytes);
  // Begins the call anew.
  void Restart();
  // The same for what the broker has no room for now: after a while, longer each time.
  void RestartLater();

  // Writes what is left to be written, then ends the call; waits for that up to `patience`.
  void Shutdown(std::chrono::milliseconds patience);

  void OnRead(grpc::ByteBuffer& bytes) override;
  void OnWritten() override;
  void OnEnd(const grpc::Status& status) override;
  void Tick(SteadyTime now) override;

 private:
  enum class State { kIdle, kConnecting, kOpen, kBackoff };

  void Connect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool NextRequest(dunlin::broker::v1::SubscribeRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Writes the next request unless one is under way.
  void Pump();
  void OnOpened();
  void Forget(uint32_t binding);
  bool Handle(const grpc::Slice& response);

  const std::shared_ptr<Ticker> ticker_;
  const std::string group_;
  const size_t max_buffered_bytes_;
  SubscribeHost& host_;

  Mutex mutex_;
  CondVar ended_;
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
  bool moved_ ABSL_GUARDED_BY(mutex_) = false;  // the call is ended by us: that is no failure
  bool wanted_ ABSL_GUARDED_BY(mutex_) = true;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // said that nothing more is written
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;    // OnEnd still tells the host
  std::shared_ptr<ByteStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool opening_ ABSL_GUARDED_BY(mutex_) = false;  // nothing goes before what is to be attached
  std::set<uint32_t> attached_ ABSL_GUARDED_BY(mutex_);    // bindings of this call
  std::set<uint32_t> committing_ ABSL_GUARDED_BY(mutex_);  // those whose commits are written
  // To be written, in this order.
  std::deque<dunlin::broker::v1::SubscribeRequest> control_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, dunlin::broker::v1::Settle> settles_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, uint64_t> commits_ ABSL_GUARDED_BY(mutex_);
  size_t owed_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of credit
  size_t buffered_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;  // the call ends by RestartLater
  // Calls that were rejected or refused, without one in between that lasted.
  int rejections_ ABSL_GUARDED_BY(mutex_) = 0;
  SteadyTime connected_at_ ABSL_GUARDED_BY(mutex_){};
  SteadyTime reconnect_at_ ABSL_GUARDED_BY(mutex_){};
};

}  // namespace dunlin::internal
