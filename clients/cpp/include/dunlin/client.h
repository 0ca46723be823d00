// Client: a connection to a Dunlin broker, or to a cluster of them by its name services, from which
// producers and consumers are made.
//
// Where topics are is asked of the access point, and followed as it changes; there is one TCP
// connection to each broker, which all share that are made of a client.
//
// A handle: copies share the connection. Producers and consumers keep what they need of it, so that
// the client may go before them. Thread-safe.

#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace dunlin {

class LiteProducer;
class LitePushConsumer;
class LiteSimpleConsumer;
class Producer;
class PullConsumer;
class PushConsumer;
class Requester;
class SimpleConsumer;
class TransactionProducer;
struct LiteProducerOptions;
struct LitePushConsumerOptions;
struct LiteSimpleConsumerOptions;
struct ProducerOptions;
struct PullConsumerOptions;
struct PushConsumerOptions;
struct RequesterOptions;
struct SimpleConsumerOptions;
struct TransactionProducerOptions;

enum class Tls {
  kOff,
  kInsecure,  // encrypted; whom one talks to is not checked
  kVerified,  // against ClientOptions::tls_ca, or the system's authorities
};

struct ClientOptions {
  // Where a broker, or a name service, is: "host:port", "[ipv6]:port", or several of them with
  // commas in between, of which one is used until it fails.
  std::string endpoint = "127.0.0.1:8081";
  std::string name_space;
  Tls tls = Tls::kOff;
  std::string tls_ca;  // PEM, the text itself; empty: the system's
  // Of a user of the broker, when it asks who calls (docs/access.md): every request is signed with
  // them. Both or none.
  std::string access_key;
  std::string secret_key;
  // How the broker calls this client in lists and logs. Empty: made of host, process and a number.
  std::string client_id;
  // How long Connect waits for the access point; zero: not at all, the first use will tell.
  std::chrono::milliseconds connect_timeout{5000};
  // The access point tells of changes to a topic's route at once. While it cannot (the call is
  // broken, or the server knows no such call), it is asked every so often, and when a broker fails.
  std::chrono::milliseconds route_poll_interval{30000};
};

namespace internal {
class Connection;
}

class Client {
 public:
  // INVALID_ARGUMENT: an option makes no sense; UNAVAILABLE: nobody answered in time. That the
  // credentials are refused the first use will tell: UNAUTHENTICATED, or PERMISSION_DENIED.
  static absl::StatusOr<Client> Connect(const ClientOptions& options);

  // INVALID_ARGUMENT: an option makes no sense.
  absl::StatusOr<Producer> MakeProducer(const ProducerOptions& options) const;
  absl::StatusOr<TransactionProducer> MakeTransactionProducer(
      const TransactionProducerOptions& options) const;
  absl::StatusOr<PullConsumer> MakePullConsumer(const PullConsumerOptions& options) const;
  absl::StatusOr<SimpleConsumer> MakeSimpleConsumer(const SimpleConsumerOptions& options) const;
  // Subscribes and begins; errors also as of SimpleConsumer::Subscribe.
  absl::StatusOr<PushConsumer> MakePushConsumer(const PushConsumerOptions& options) const;
  // Of lightweight topics; nothing is received before something is subscribed to.
  absl::StatusOr<LiteProducer> MakeLiteProducer(const LiteProducerOptions& options) const;
  absl::StatusOr<LiteSimpleConsumer> MakeLiteSimpleConsumer(
      const LiteSimpleConsumerOptions& options) const;
  absl::StatusOr<LitePushConsumer> MakeLitePushConsumer(
      const LitePushConsumerOptions& options) const;
  // Reads replies from now on; errors as of PullConsumer::Assign.
  absl::StatusOr<Requester> MakeRequester(const RequesterOptions& options) const;

 private:
  explicit Client(std::shared_ptr<internal::Connection> connection)
      : connection_(std::move(connection)) {}

  std::shared_ptr<internal::Connection> connection_;
};

}  // namespace dunlin
