// Relay: passes calls that landed at the wrong server on to the right one. Each has one request,
// and one answer or a stream of them.
//
// A call is passed on once: it carries metadata `x-dunlin-hops`, and a server that sees that
// answers itself. The caller's identity goes along, and its deadline holds. Bounded: so many calls,
// polls and bytes of requests at a time, of a stream one message; one connection per address,
// closed when it is idle; with too many addresses the one that was not used for longest is
// forgotten. Thread-safe; nothing waits. A crash leaves nothing behind: callers see broken calls,
// as with the right server.

#pragma once

#include <grpcpp/grpcpp.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"

#include "services/base/mutex.h"

namespace dunlin {

class Relay {
 public:
  // Who calls.
  struct Caller {
    // That the right server reads; without those that gRPC would not send.
    std::vector<std::pair<std::string, std::string>> headers;
    std::chrono::system_clock::time_point deadline;
    bool was_passed_on = false;
  };
  static Caller CallerOf(const grpc::CallbackServerContext& context);

  // Called once, on one of gRPC's threads or before Pass returns.
  using Done = absl::AnyInvocable<void(const grpc::Status& status, const grpc::ByteBuffer& answer)>;

  // A call under way whose answer is read message by message.
  class Stream {
   public:
    // Asks for the next message: once after each, also when nobody wants it any more.
    virtual void Next() = 0;
    // Breaks the call off; its end follows. Idempotent.
    virtual void Cancel() = 0;

   protected:
    ~Stream() = default;
  };
  // Who gets that answer. Called by one thread at a time: one of gRPC's, or before PassStream
  // returns.
  class Reader {
   public:
    virtual ~Reader() = default;
    // `stream` is there until the end, for any thread.
    virtual void OnStart(Stream& stream) = 0;
    virtual void OnMessage(const grpc::ByteBuffer& message) = 0;
    // Once, and last: also of a call that never started.
    virtual void OnEnd(const grpc::Status& status) = 0;
  };

  struct Limits {
    size_t calls = 1024;         // that are answered soon
    size_t polls = 1024;         // that may wait: they must not take the place of the others
    uint64_t bytes = 64u << 20;  // of requests of each; a single larger one is passed alone
    size_t channels = 4096;      // brokers of a cluster, also those that moved
  };

  Relay() : Relay(Limits()) {}
  explicit Relay(const Limits& limits, std::shared_ptr<grpc::ChannelCredentials> credentials =
                                           grpc::InsecureChannelCredentials());
  ~Relay() { Stop(); }

  // `method`: "/package.Service/Method". Errors of its own: FAILED_PRECONDITION (it was passed on
  // before), RESOURCE_EXHAUSTED (too many at a time), UNAVAILABLE (stopped).
  void Pass(const std::string& address, const std::string& method, const Caller& caller,
            const grpc::ByteBuffer& request, Done done) ABSL_LOCKS_EXCLUDED(mutex_);

  enum class Kind { kCall, kPoll };
  // The same, and the same errors, for a call whose answer is read message by message, one or more;
  // it can be broken off. INVALID_ARGUMENT: a poll whose caller may stay for more than two minutes,
  // and hold its place without reading.
  void PassStream(const std::string& address, const std::string& method, Kind kind,
                  const Caller& caller, const grpc::ByteBuffer& request,
                  std::shared_ptr<Reader> reader) ABSL_LOCKS_EXCLUDED(mutex_);

  // Breaks off the polls that wait for their answer. Not from a Reader.
  void CancelPolls() ABSL_LOCKS_EXCLUDED(mutex_);
  // Breaks off all that is under way, and refuses what comes. Not from a Done or a Reader.
  // Idempotent.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, and waits until all have been told. Not on one of gRPC's threads.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    Kind kind = Kind::kCall;
    std::atomic<bool> answered = false;
  };
  struct UnaryCall;
  class StreamCall;

  struct Known {
    std::shared_ptr<grpc::Channel> channel;
    uint64_t used = 0;  // at which use of any
  };

  // Makes the call, which has its request, one that is under way, to be started on `channel`.
  grpc::Status Begin(const std::string& address, const Caller& caller, Call& call,
                     std::shared_ptr<grpc::Channel>& channel) ABSL_LOCKS_EXCLUDED(mutex_);
  // Deletes it.
  template <typename AnyCall>
  void End(AnyCall* call) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasRoomFor(const Call& call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Null: there is no room for another one.
  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets the address that was not used for longest; false: all are in use.
  bool DropOne() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropLoop() ABSL_LOCKS_EXCLUDED(mutex_);

  const Limits limits_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  // Idle ones hold no connection.
  absl::flat_hash_map<std::string, Known> channels_ ABSL_GUARDED_BY(mutex_);
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<Call*> calls_ ABSL_GUARDED_BY(mutex_);
  struct Load {
    size_t calls = 0;
    uint64_t bytes = 0;  // of their requests
  };
  std::array<Load, 2> loads_ ABSL_GUARDED_BY(mutex_);  // of calls_, by kind
  // A channel must not go on one of gRPC's threads: it does on `dropper_`.
  std::vector<std::shared_ptr<grpc::Channel>> dropped_ ABSL_GUARDED_BY(mutex_);
  std::thread dropper_;
};

}  // namespace dunlin
