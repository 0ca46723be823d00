// Relay: passes unary calls that landed at the wrong server on to the right one.
//
// A call is passed on once: it carries metadata `x-dunlin-hops`, and a server that sees that
// answers itself. The caller's identity goes along, and its deadline holds. Bounded: so many calls
// and bytes of requests at a time, one connection per address, closed when it is idle; with too
// many addresses the one that was not used for longest is forgotten. Thread-safe; nothing waits. A
// crash leaves nothing behind: callers see broken calls, as with the right server.

#pragma once

#include <grpcpp/grpcpp.h>

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
    std::vector<std::pair<std::string, std::string>> headers;  // that the right server reads
    std::chrono::system_clock::time_point deadline;
    bool was_passed_on = false;
  };
  static Caller CallerOf(const grpc::CallbackServerContext& context);

  // Called once, on one of gRPC's threads or before Pass returns.
  using Done = absl::AnyInvocable<void(const grpc::Status& status, const grpc::ByteBuffer& answer)>;

  struct Limits {
    size_t calls = 1024;
    uint64_t bytes = 64u << 20;  // of their requests; a single larger one is passed alone
    size_t channels = 4096;      // brokers of a cluster, also those that moved
  };

  Relay() : Relay(Limits()) {}
  explicit Relay(const Limits& limits);
  ~Relay() { Stop(); }

  // `method`: "/package.Service/Method". Errors of its own: FAILED_PRECONDITION (it was passed on
  // before), RESOURCE_EXHAUSTED (too many at a time), UNAVAILABLE (stopped).
  void Pass(const std::string& address, const std::string& method, const Caller& caller,
            const grpc::ByteBuffer& request, Done done) ABSL_LOCKS_EXCLUDED(mutex_);

  // Breaks off what is under way. Not from a Done. Idempotent.
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, and waits until all have been told. Not on one of gRPC's threads.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer answer;
    Done done;
  };

  struct Known {
    std::shared_ptr<grpc::Channel> channel;
    uint64_t used = 0;  // at which use of any
  };

  bool HasRoomFor(const grpc::ByteBuffer& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Null: there is no room for another one.
  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets the address that was not used for longest; false: all are in use.
  bool DropOne() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  void End(Call* call, const grpc::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  const Limits limits_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  // Idle ones hold no connection.
  absl::flat_hash_map<std::string, Known> channels_ ABSL_GUARDED_BY(mutex_);
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<Call*> calls_ ABSL_GUARDED_BY(mutex_);
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of their requests
  // A channel must not go on one of gRPC's threads: it does on `dropper_`.
  std::vector<std::shared_ptr<grpc::Channel>> dropped_ ABSL_GUARDED_BY(mutex_);
  std::thread dropper_;
};

}  // namespace dunlin
