// Requester: sends messages that ask for an answer, and waits for it. ReplyTo: answers one.
//
// A request is a message with a few properties that say where its reply belongs: an inbox, which is
// a tag of the requester's own in a reply topic. Any consumer may answer, with any
// producer: docs/request-reply.md has the properties, for clients in other languages. The first
// reply counts.

#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dunlin/message.h"

namespace dunlin {

struct RequesterOptions {
  // Where replies go; must exist, may be shared by all requesters, and may keep little
  // (docs/retention.md).
  std::string reply_topic = "replies";
  // Requests that wait for a reply; one more is refused.
  size_t max_waiting = 10'000;
};

namespace internal {
class RequesterCore;
}

// Made by Client::MakeRequester. Thread-safe. The destructor closes.
class Requester {
 public:
  // Called once, on a thread of the requester: it must not wait.
  using Callback = std::function<void(const absl::StatusOr<ReceivedMessage>&)>;

  explicit Requester(std::shared_ptr<internal::RequesterCore> core);
  Requester(Requester&&) noexcept;
  Requester& operator=(Requester&&) noexcept;
  ~Requester();

  // The reply. Errors: those of Producer::Send; DEADLINE_EXCEEDED: none came in time, whatever
  // became of the request; NOT_FOUND: the reply topic is gone; RESOURCE_EXHAUSTED: max_waiting;
  // INVALID_ARGUMENT: no timeout above 0, or a property of requests is set; CANCELLED: closed.
  absl::StatusOr<ReceivedMessage> Request(const Message& request,
                                          std::chrono::milliseconds timeout);
  // Returns when the request is on its way; `callback` gets what Request would return. Errors,
  // after which it is not called, as of Producer::SendAsync and above.
  absl::Status RequestAsync(const Message& request, std::chrono::milliseconds timeout,
                            Callback callback);

  // Those that wait get CANCELLED; all callbacks have returned afterwards. Idempotent. Not from a
  // callback.
  void Close();

 private:
  std::shared_ptr<internal::RequesterCore> core_;
};

// The reply to `request`, without a body yet: to be filled in, and sent by any producer.
// INVALID_ARGUMENT: it asks for none.
absl::StatusOr<Message> ReplyTo(const MessageView& request);
// Until when somebody waits for the reply; nullopt: it asks for none. Later there is nobody who
// would get it.
std::optional<Timestamp> ReplyDeadline(const MessageView& request);

}  // namespace dunlin
