// Transport and Scheduler: all that this room asks of the world: HTTP calls to one server, and
// time.
//
// CurlLoop is both for real; tests have their own. Everything that is called back is called on one
// thread, the loop's, and must not wait for anything.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "services/base/clock.h"

namespace dunlin::k8s {

struct HttpRequest {
  std::string method;        // "GET"
  std::string path;          // with its query, encoded
  std::string content_type;  // of the body; empty: there is none
  std::string body;
  // For the whole call; zero: as long as it takes, for streams.
  std::chrono::milliseconds timeout{0};
};

struct HttpHead {
  int code = 0;
  std::optional<std::chrono::seconds> retry_after;
};

struct HttpEnd {
  // OK: the answer came whole, whatever its code. UNAVAILABLE: not reached, or cut off.
  // DEADLINE_EXCEEDED. CANCELLED: by Cancel, Stop or OnBody. FAILED_PRECONDITION: TLS refused the
  // server or our certificate.
  absl::Status status;
  // False when the server cannot have seen the request.
  bool sent = true;
};

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;

  // Once, unless the call ends before.
  virtual void OnHead(const HttpHead& head) = 0;
  // A part of the body, cut anywhere. False ends the call.
  virtual bool OnBody(std::string_view part) = 0;
  // Once, last.
  virtual void OnDone(const HttpEnd& end) = 0;
};

using CallId = uint64_t;

// Thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual CallId Start(HttpRequest request, std::unique_ptr<HttpHandler> handler) = 0;
  // OnDone still comes, later. Nothing happens when it has come.
  virtual void Cancel(CallId call) = 0;
};

// Thread-safe.
class Scheduler {
 public:
  using Task = absl::AnyInvocable<void()>;

  virtual ~Scheduler() = default;

  virtual Timestamp Now() const = 0;
  // In the order of the calls. A task is dropped when the loop is stopping.
  virtual void Post(Task task) = 0;
  virtual void After(std::chrono::milliseconds delay, Task task) = 0;
};

}  // namespace dunlin::k8s
