// SubscribeStreams: the calls of a consumer to all brokers that it reads from, one to each.
//
// A broker that routes do not name any more keeps its call while that lasts; it is not made again
// before a route names the broker. Not thread-safe: the consumer's lock is around it.

#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "clients/cpp/src/subscribe_stream.h"

namespace dunlin::internal {

class SubscribeStreams {
 public:
  // `host` must outlive Shutdown, which must come before the end.
  SubscribeStreams(std::shared_ptr<Connection> connection, std::string group,
                   size_t max_buffered_bytes, SubscribeHost& host)
      : connection_(std::move(connection)),
        group_(std::move(group)),
        max_buffered_bytes_(max_buffered_bytes),
        host_(host) {}

  Connection& connection() const { return *connection_; }

  // The call to a broker, which is made, or moved to where the broker is now. They come and never
  // go.
  SubscribeStream& At(const BrokerRoute& broker);
  // Calls to brokers that are not among them are not made again.
  void SetWanted(const std::set<const SubscribeStream*>& wanted);
  // All calls that there are; for Shutdown, which waits and needs no lock.
  std::vector<SubscribeStream*> All() const;

 private:
  const std::shared_ptr<Connection> connection_;
  const std::string group_;
  const size_t max_buffered_bytes_;
  SubscribeHost& host_;
  std::map<std::string, std::unique_ptr<SubscribeStream>> streams_;  // by name of the broker
};

// Ends all calls; waits for each up to what is left of `patience`.
void ShutDown(const std::vector<SubscribeStream*>& streams, std::chrono::milliseconds patience);

}  // namespace dunlin::internal
