#include "dunlin/client.h"

#include <utility>

#include "dunlin/producer.h"

#include "clients/cpp/src/connection.h"
#include "clients/cpp/src/producer_core.h"

namespace dunlin {

absl::StatusOr<Client> Client::Connect(const ClientOptions& options) {
  auto connection = internal::Connection::Make(options);
  if (!connection.ok()) return connection.status();
  return Client(*std::move(connection));
}

absl::StatusOr<Producer> Client::MakeProducer(const ProducerOptions& options) const {
  constexpr size_t kSmallestBatch = 1024;
  if (options.streams < 1 || options.streams > 64) {
    return absl::InvalidArgumentError("streams: 1 to 64");
  }
  if (options.max_batch_bytes < kSmallestBatch) {
    return absl::InvalidArgumentError("max_batch_bytes: 1024 or more");
  }
  if (options.frames_in_flight < 1) {
    return absl::InvalidArgumentError("frames_in_flight: 1 or more");
  }
  if (options.send_timeout.count() < 1) {
    return absl::InvalidArgumentError("send_timeout: 1 ms or more");
  }
  return Producer(std::make_shared<internal::ProducerCore>(connection_, options));
}

}  // namespace dunlin
