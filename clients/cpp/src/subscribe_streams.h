// SubscribeStreams: the calls of a consumer to all brokers that it reads from, one to each master,
// and to each slave.
//
// A broker that routes do not name any more keeps its call while that lasts; it is not made again
// before a route names the broker. Not thread-safe: the consumer's lock is around it.

#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

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
  // The same for a slave of the broker. Called often: one that waits to be made again waits on.
  SubscribeStream& AtSlave(const std::string& broker, const SlaveRoute& slave);
  // The call to the slave, if there was one to where it is now; null: there was none.
  const SubscribeStream* FindSlave(const std::string& broker, const SlaveRoute& slave) const;
  bool IsToSlave(const SubscribeStream& stream) const;
  // Calls to brokers that are not among them are not made again.
  void SetWanted(const std::set<const SubscribeStream*>& wanted);
  // Ends calls to slaves that are not among them, unless somebody has asked for them just now.
  // False: there are no others.
  bool EndUnused(const std::set<const SubscribeStream*>& wanted, SteadyTime now);
  // All calls that there are; for Shutdown, which waits and needs no lock.
  std::vector<SubscribeStream*> All() const;

 private:
  struct Slave {
    std::string endpoint;
    std::unique_ptr<SubscribeStream> stream;
    SteadyTime used_at{};  // asked for, or read from
    bool resting = false;
  };

  const std::shared_ptr<Connection> connection_;
  const std::string group_;
  const size_t max_buffered_bytes_;
  SubscribeHost& host_;
  std::map<std::string, std::unique_ptr<SubscribeStream>> streams_;  // by name of the broker
  std::map<std::pair<std::string, int32_t>, Slave> slaves_;          // by that, and id
};

// Ends all calls; waits for each up to what is left of `patience`.
void ShutDown(const std::vector<SubscribeStream*>& streams, std::chrono::milliseconds patience);

}  // namespace dunlin::internal
