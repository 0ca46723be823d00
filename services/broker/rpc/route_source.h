// RouteSource: where WatchRoutes streams look routes up: a broker's own topics, or what a name
// service was told.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/nameservice/v1/routes.pb.h"
#include "services/broker/access/access_control.h"
#include "services/broker/topics/topic_watchers.h"

namespace dunlin::broker {

// Who looks.
struct RouteViewer {
  apache::rocketmq::v2::Endpoints endpoints;  // how it reached the server; may be empty
  std::string zone;                           // of whose brokers alone it wants to hear
};

// Thread-safe; nothing waits.
class RouteSource {
 public:
  virtual ~RouteSource() = default;

  // nullopt: it cannot be said yet. Whoever watches the topic is told once it can.
  virtual std::optional<nameservice::v1::Route> FindRoute(const RouteViewer& viewer,
                                                          std::string_view qualified_name) = 0;
  // Without members when there is none.
  virtual nameservice::v1::BrokerGroup FindGroup(const RouteViewer& viewer,
                                                 std::string_view name) = 0;
  // Groups that every stream is told of, whatever it watches.
  virtual std::vector<std::string> FirstGroups() = 0;

  // Those who want to hear of changes, by qualified name of the topic and by name of the group.
  virtual TopicWatchers& topic_watchers() = 0;
  virtual TopicWatchers& group_watchers() = 0;

  // Who may look.
  virtual const AccessControl& access() const = 0;
};

}  // namespace dunlin::broker
