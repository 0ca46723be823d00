// RouteTableTest: a table, members that say hello and tables of topics, with the time in hand.

#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/nameservice/routes/route_table.h"

namespace dunlin::nameservice {

class RouteTableTest : public ::testing::Test {
 protected:
  using milliseconds = std::chrono::milliseconds;
  using seconds = std::chrono::seconds;

  // Waits for nobody.
  void Start(RouteTable::Options options = {}) {
    options.start_grace = milliseconds(0);
    StartWaiting(std::move(options));
    Step();
  }
  void StartWaiting(RouteTable::Options options) {
    table_ = std::make_unique<RouteTable>(std::move(options), now_);
  }

  static v1::Hello Hello(const std::string& group, const std::string& member, uint32_t id,
                         uint64_t epoch = 1) {
    v1::Hello hello;
    hello.mutable_identity()->set_broker_group(group);
    hello.mutable_identity()->set_member(member);
    hello.mutable_identity()->set_incarnation(1);
    hello.set_cluster("c");
    hello.set_id(id);
    hello.set_role(id == 0 ? v1::MASTER : v1::SLAVE);
    hello.set_epoch(epoch);
    hello.mutable_endpoints()->set_scheme(apache::rocketmq::v2::DOMAIN_NAME);
    apache::rocketmq::v2::Address& address = *hello.mutable_endpoints()->add_addresses();
    address.set_host(member);
    address.set_port(8081);
    hello.set_acting_master_allowed(true);
    *hello.mutable_topics_version() = Version(1);
    return hello;
  }
  static v1::DataVersion Version(uint64_t counter, uint64_t state = 1) {
    v1::DataVersion version;
    version.set_state_version(state);
    version.set_counter(counter);
    version.set_timestamp_ms(1000);
    return version;
  }
  static v1::RegisteredTopic Topic(const std::string& name, uint32_t queues = 2,
                                   uint32_t topic_id = 7) {
    v1::RegisteredTopic topic;
    topic.mutable_topic()->set_name(name);
    topic.set_topic_id(topic_id);
    topic.set_queues(queues);
    topic.set_write_queues(queues);
    topic.set_permission(apache::rocketmq::v2::READ_WRITE);
    topic.add_accept_message_types(apache::rocketmq::v2::NORMAL);
    return topic;
  }

  // What came of the last event is in changes_.
  absl::Status Register(uint64_t session, const v1::Hello& hello) {
    changes_ = {};
    return table_->Register(SessionId(session), hello, now_, changes_);
  }
  absl::Status Tell(uint64_t session, const std::vector<v1::RegisteredTopic>& topics,
                    uint64_t counter = 1) {
    v1::TopicTable table;
    table.set_first(true);
    table.set_last(true);
    for (const v1::RegisteredTopic& topic : topics) *table.add_topics() = topic;
    *table.mutable_version() = Version(counter);
    changes_ = {};
    return table_->Apply(SessionId(session), table, changes_);
  }
  // A piece of a table; the last brings the version.
  absl::Status TellPiece(uint64_t session, const v1::RegisteredTopic& topic, bool first, bool last,
                         uint64_t counter = 1) {
    v1::TopicTable table;
    table.set_first(first);
    table.set_last(last);
    *table.add_topics() = topic;
    if (last) *table.mutable_version() = Version(counter);
    changes_ = {};
    return table_->Apply(SessionId(session), table, changes_);
  }
  absl::Status Change(uint64_t session, uint64_t base, const std::vector<v1::RegisteredTopic>& put,
                      const std::vector<std::string>& deleted = {}) {
    v1::TopicChanges topics;
    *topics.mutable_base() = Version(base);
    *topics.mutable_version() = Version(base + 1);
    for (const v1::RegisteredTopic& topic : put) *topics.add_changed() = topic;
    for (const std::string& name : deleted) topics.add_deleted()->set_name(name);
    changes_ = {};
    return table_->Apply(SessionId(session), topics, changes_);
  }
  // A master with its topics.
  void Join(uint64_t session, const std::string& group,
            const std::vector<v1::RegisteredTopic>& topics, uint64_t epoch = 1) {
    ASSERT_THAT(Register(session, Hello(group, group + "-0", 0, epoch)), IsOk());
    if (!changes_.send_table.empty()) ASSERT_THAT(Tell(session, topics), IsOk());
  }
  void Leave(uint64_t session) {
    changes_ = {};
    table_->Leave(SessionId(session), now_, changes_);
  }
  void Step(milliseconds passed = milliseconds(0)) {
    now_ += passed;
    changes_ = {};
    table_->Step(now_, changes_);
  }

  std::vector<std::string> BrokersOf(const std::string& topic, const std::string& zone = "") const {
    std::vector<std::string> brokers;
    const v1::Route route = table_->FindRoute(topic, zone);
    for (const v1::BrokerQueues& queues : route.queues()) {
      brokers.push_back(queues.broker());
    }
    return brokers;
  }
  apache::rocketmq::v2::QueryRouteResponse Query(const std::string& topic,
                                                 const std::string& zone = "") const {
    apache::rocketmq::v2::Resource resource;
    resource.set_name(topic);
    apache::rocketmq::v2::QueryRouteResponse response;
    for (auto& queue : QueuesByTurns(table_->FindQueues(resource, topic, zone))) {
      *response.add_message_queues() = std::move(queue);
    }
    return response;
  }

  Timestamp now_ = FromUnixMillis(1'700'000'000'000);
  std::unique_ptr<RouteTable> table_;
  Changes changes_;
};

}  // namespace dunlin::nameservice
