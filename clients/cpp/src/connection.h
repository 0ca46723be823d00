// Connection: what a client's producers and consumers share: channels, identity, routes, the
// ticker.
//
// Made to the access points that a client was given, of which one is used until it fails; To gives
// the same identity at one server, most often a broker that a route names. Thread-safe.

#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "dunlin/client.h"
#include "dunlin/filter.h"

#include "clients/cpp/src/route_cache.h"
#include "clients/cpp/src/ticker.h"
#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/mutex.h"
#include "services/base/request_signature.h"

namespace dunlin::internal {

class Connection final : public Ticking {
 public:
  static absl::StatusOr<std::shared_ptr<Connection>> Make(const ClientOptions& options);
  // Waits until nobody asks for routes any more; not on one of gRPC's threads.
  ~Connection() override;

  // The same identity at the server there, whose channel all share who ask for it: the `number`-th
  // TCP connection to it. Empty: the access point in use. REQUIRES: made by Make or Stranger.
  std::shared_ptr<Connection> To(const std::string& endpoint, int number = 0)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The same access points with an id of its own, for what a broker keeps by the client and not by
  // the call.
  std::shared_ptr<Connection> Stranger() const;

  // To the access point in use.
  std::shared_ptr<grpc::Channel> channel() const { return channels_[access_point()]; }
  // The number of that, and where it is.
  size_t access_point() const { return access_point_.load(std::memory_order_relaxed); }
  size_t access_points() const { return channels_.size(); }
  const std::string& endpoint() const { return endpoints_[access_point()]; }
  // Access point `failed` does not answer: the next one is used.
  void Avoid(size_t failed) const;

  const std::string& name_space() const { return options_.name_space; }
  const std::shared_ptr<Ticker>& ticker() const { return ticker_; }
  // REQUIRES: made by Make or Stranger.
  RouteCache& routes() { return *routes_; }
  // The headers of every call, signed now.
  void Identify(grpc::ClientContext& context) const;
  void Fill(std::string_view name, apache::rocketmq::v2::Resource& resource) const;

  // Lets go of servers that nobody is connected to any more: on the ticker's thread, since a
  // channel must not go on one of gRPC's.
  void Tick(SteadyTime now) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Servers = std::map<std::pair<std::string, int>, std::shared_ptr<Connection>>;

  Connection(ClientOptions options, std::shared_ptr<Ticker> ticker,
             std::vector<std::string> endpoints,
             std::vector<std::shared_ptr<grpc::Channel>> channels);
  static std::shared_ptr<Connection> MakeRoot(ClientOptions options,
                                              std::shared_ptr<Ticker> ticker);
  bool AwaitAny(std::chrono::milliseconds timeout) const;

  const ClientOptions options_;
  const Credentials credentials_;
  const std::shared_ptr<Ticker> ticker_;
  const std::vector<std::string> endpoints_;
  const std::vector<std::shared_ptr<grpc::Channel>> channels_;
  mutable std::atomic<size_t> access_point_{0};
  std::unique_ptr<RouteCache> routes_;
  Mutex mutex_;
  Servers servers_ ABSL_GUARDED_BY(mutex_);
  bool sweeping_ ABSL_GUARDED_BY(mutex_) = false;
};

void FillFilter(const Filter& filter, apache::rocketmq::v2::FilterExpression& expression);

// The error that an answer of the broker stands for; the message begins with the code's name.
absl::Status FromPublic(const apache::rocketmq::v2::Status& status);
absl::Status FromGrpc(const grpc::Status& status);
// Sending the same again after a while may help.
bool IsTransient(apache::rocketmq::v2::Code code);
// Connecting again does not help.
bool IsFatal(const grpc::Status& status);
// It is about who asks, and will be the same next time.
bool IsRefusal(const absl::Status& status);
// Before what nobody waits for is asked again after it was refused for good: the refusal may be
// taken back.
inline constexpr std::chrono::seconds kRefusedPause{30};

}  // namespace dunlin::internal
