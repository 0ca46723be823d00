// SubscriptionTable: with which filter each consumer group consumes a topic; one for all of its
// consumers.
//
// What a consumer's filter passes over counts as done for its whole group: consumers of one group
// with different filters on a topic would lose each other's messages. So the first filter counts,
// as long as a living consumer asks with it, and whoever asks with another one is refused
// meanwhile. A consumer that changes its filter no longer holds the old one: the group changes over
// when the last of the old consumers has changed, ended, or gone silent. Different topics are
// different subscriptions: consumers of a group need not consume the same.
//
// Thread-safe; a call that asks with the filter in force costs a short lock and two look-ups. Keeps
// nothing across a restart: who asks first then, counts.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "services/base/strong_int.h"
#include "services/broker/clients/client_registry.h"

namespace dunlin::broker {

class SubscriptionTable {
 public:
  // Who is alive is asked of `clients`, which must outlive the table.
  explicit SubscriptionTable(const ClientRegistry& clients);
  ~SubscriptionTable();

  // A filter as a client names it; `type` is an apache.rocketmq.v2.FilterType, 0 meaning tags.
  struct Filter {
    int32_t type = 0;
    std::string_view expression;
  };
  struct Place {
    GroupId group;
    TopicId topic;
    friend constexpr auto operator<=>(const Place&, const Place&) = default;
  };

  // `client` consumes with `filter` from now on. PRECONDITION_FAILED, naming both filters and a
  // client that holds the other one, when the group consumes with another filter.
  absl::Status Enter(Place place, const Filter& filter, std::string_view client);
  // Whether `filter` is still the one that the group consumes with: a client that waits may have
  // asked with another one meanwhile.
  bool IsInForce(Place place, const Filter& filter) const;
  // The same for a stream, which is alive as long as it does not leave.
  absl::Status EnterStream(Place place, const Filter& filter, std::string_view client);
  void LeaveStream(Place place, std::string_view client);

  // Of living consumers.
  struct Subscription {
    TopicId topic;
    std::string filter;  // in words
    std::vector<std::string> clients;
    // The last one that was refused since the filter has been in force, if it still is.
    std::string refused_client;
    std::string refused_filter;
  };
  // Ascending by topic. Looks at all of them: for people.
  std::vector<Subscription> List(GroupId group) const;

 private:
  class State;
  const std::unique_ptr<State> state_;
};

}  // namespace dunlin::broker
