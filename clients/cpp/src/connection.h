// Connection: what a client's producers and consumers share: channel, identity, routes, the ticker.
//
// Thread-safe.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "dunlin/client.h"
#include "dunlin/filter.h"

#include "clients/cpp/src/route_cache.h"
#include "clients/cpp/src/ticker.h"
#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::internal {

class Connection {
 public:
  static absl::StatusOr<std::shared_ptr<Connection>> Make(const ClientOptions& options);

  // The same identity and options over a TCP connection of its own. Routes are asked of the first.
  std::shared_ptr<Connection> Another() const;
  // The same with an id of its own, for what the broker keeps by the client and not by the call.
  std::shared_ptr<Connection> Stranger() const;

  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  const std::string& name_space() const { return options_.name_space; }
  const std::shared_ptr<Ticker>& ticker() const { return ticker_; }
  RouteCache& routes() { return routes_; }
  // The headers of every call.
  void Identify(grpc::ClientContext& context) const;
  void Fill(std::string_view name, apache::rocketmq::v2::Resource& resource) const;

 private:
  Connection(ClientOptions options, std::shared_ptr<Ticker> ticker);

  const ClientOptions options_;
  const std::shared_ptr<Ticker> ticker_;
  const std::shared_ptr<grpc::Channel> channel_;
  RouteCache routes_;
};

void FillFilter(const Filter& filter, apache::rocketmq::v2::FilterExpression& expression);

// The error that an answer of the broker stands for; the message begins with the code's name.
absl::Status FromPublic(const apache::rocketmq::v2::Status& status);
absl::Status FromGrpc(const grpc::Status& status);
// Sending the same again after a while may help.
bool IsTransient(apache::rocketmq::v2::Code code);
// Connecting again does not help.
bool IsFatal(const grpc::Status& status);

}  // namespace dunlin::internal
