// What brokers and clients say to a name service, for tests.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"

namespace dunlin::nameservice {

inline std::unique_ptr<grpc::ClientContext> NewContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("x-mq-client-id", "client");
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  return context;
}

// Of the master, and only member, of a broker group of this name, at NAME.local:8081.
inline v1::RegisterRequest HelloOf(const std::string& name) {
  v1::RegisterRequest request;
  v1::Hello& hello = *request.mutable_hello();
  hello.mutable_identity()->set_broker_group(name);
  hello.mutable_identity()->set_member(name);
  hello.set_cluster("c");
  hello.set_role(v1::MASTER);
  hello.set_epoch(1);
  hello.mutable_endpoints()->set_scheme(apache::rocketmq::v2::DOMAIN_NAME);
  hello.mutable_endpoints()->add_addresses()->set_host(name + ".local");
  hello.mutable_endpoints()->mutable_addresses(0)->set_port(8081);
  hello.mutable_topics_version()->set_counter(1);
  return request;
}

// The whole table: one topic.
inline v1::RegisterRequest TableOf(const std::string& topic, uint32_t queues = 2,
                                   const std::string& name_space = "") {
  v1::RegisterRequest request;
  v1::TopicTable& table = *request.mutable_table();
  table.set_first(true);
  table.set_last(true);
  table.mutable_version()->set_counter(1);
  v1::RegisteredTopic& told = *table.add_topics();
  told.mutable_topic()->set_resource_namespace(name_space);
  told.mutable_topic()->set_name(topic);
  told.set_topic_id(1);
  told.set_queues(queues);
  told.set_permission(apache::rocketmq::v2::READ_WRITE);
  told.add_accept_message_types(apache::rocketmq::v2::NORMAL);
  return request;
}

}  // namespace dunlin::nameservice
