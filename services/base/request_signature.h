// How a request is signed: by who sends it, checked by who gets it. As the SDKs of RocketMQ do:
// HMAC-SHA1 with the secret key over the value of x-mq-date-time, and over nothing else. What it
// proves is that the caller knew the secret, not what it asked for: whoever can read a connection
// can use the header for other requests, which TLS prevents.
//
// Pure, thread-safe. Part of the C++ SDK, too: nothing here logs.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace dunlin {

inline constexpr char kAuthorizationHeader[] = "authorization";
inline constexpr char kDateTimeHeader[] = "x-mq-date-time";

struct Credentials {
  std::string access_key;
  std::string secret_key;

  bool empty() const { return access_key.empty(); }
};

// Why no request can be signed with these, in half a sentence; empty: it can.
std::string ProblemOf(const Credentials& credentials);

// A time as it is put into x-mq-date-time, "20260131T235959Z".
std::string SignedDateTime(std::chrono::system_clock::time_point time);

// The value of `authorization` that goes with this x-mq-date-time.
std::string Authorization(const Credentials& credentials, std::string_view date_time);

// Adds both headers to a grpc::ClientContext; none without credentials.
// REQUIRES: ProblemOf(credentials) is empty, or else there are none.
template <typename Context>
void Sign(const Credentials& credentials, std::chrono::system_clock::time_point now,
          Context& context) {
  if (credentials.empty()) return;
  const std::string date_time = SignedDateTime(now);
  context.AddMetadata(kDateTimeHeader, date_time);
  context.AddMetadata(kAuthorizationHeader, Authorization(credentials, date_time));
}

// What a value of `authorization` says. Views into it.
struct Claim {
  std::string_view access_key;  // without region and service; may be empty
  std::string_view signature;   // hexadecimal, in whatever case
};
// nullopt: it is none.
std::optional<Claim> ParseAuthorization(std::string_view value);

// Whether the signature of this x-mq-date-time was made with this secret. Takes as long wherever it
// differs.
bool IsSignature(std::string_view signature, std::string_view date_time,
                 std::string_view secret_key);

// 16 hexadecimal digits that change with the secret and do not tell it.
std::string SecretFingerprint(const Credentials& credentials);

}  // namespace dunlin
