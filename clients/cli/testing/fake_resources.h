// The topics and consumer groups of one broker, in the test's own process.

#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <vector>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"

namespace dunlin::cli {

// By name, and what goes wrong. An update sets what its request has, without a look at it.
class FakeResources final : public admin::v1::AdminService::Service {
 public:
  using Topic = admin::v1::Topic;
  using Group = admin::v1::Group;

  grpc::Status CreateTopic(grpc::ServerContext* /*context*/,
                           const admin::v1::CreateTopicRequest* request, Topic* made) override {
    return Create(request->topic(), topics, *made);
  }
  grpc::Status UpdateTopic(grpc::ServerContext* /*context*/,
                           const admin::v1::UpdateTopicRequest* request, Topic* updated) override {
    topic_updates.push_back(request->topic());
    return Update(request->topic(), topics, *updated);
  }
  grpc::Status GetTopic(grpc::ServerContext* /*context*/, const admin::v1::GetTopicRequest* request,
                        admin::v1::GetTopicResponse* response) override {
    return Get(request->name(), topics, *response->mutable_topic());
  }
  grpc::Status DeleteTopic(grpc::ServerContext* /*context*/,
                           const admin::v1::DeleteTopicRequest* request,
                           admin::v1::DeleteTopicResponse* /*response*/) override {
    return Delete(request->name(), topics);
  }
  grpc::Status CreateGroup(grpc::ServerContext* /*context*/,
                           const admin::v1::CreateGroupRequest* request, Group* made) override {
    return Create(request->group(), groups, *made);
  }
  grpc::Status UpdateGroup(grpc::ServerContext* /*context*/,
                           const admin::v1::UpdateGroupRequest* request, Group* updated) override {
    group_updates.push_back(request->group());
    return Update(request->group(), groups, *updated);
  }
  grpc::Status GetGroup(grpc::ServerContext* /*context*/, const admin::v1::GetGroupRequest* request,
                        admin::v1::GetGroupResponse* response) override {
    return Get(request->name(), groups, *response->mutable_group());
  }
  grpc::Status DeleteGroup(grpc::ServerContext* /*context*/,
                           const admin::v1::DeleteGroupRequest* request,
                           admin::v1::DeleteGroupResponse* /*response*/) override {
    return Delete(request->name(), groups);
  }

  std::map<std::string, Topic> topics;
  std::map<std::string, Group> groups;
  std::vector<Topic> topic_updates;
  std::vector<Group> group_updates;
  grpc::Status create_fails;
  grpc::Status get_fails;
  grpc::Status update_fails;
  grpc::Status delete_fails;
  // Creates and updates that fail are done all the same.
  bool stores_all_the_same = false;
  // The first so many updates do not fail.
  int good_updates = 0;

 private:
  static grpc::Status NotThere() { return {grpc::StatusCode::NOT_FOUND, "not there"}; }

  template <typename Proto>
  grpc::Status Create(const Proto& proto, std::map<std::string, Proto>& all, Proto& made) {
    if (!create_fails.ok() && !stores_all_the_same) return create_fails;
    made = all[proto.name()] = proto;
    return create_fails;
  }
  template <typename Proto>
  grpc::Status Update(const Proto& proto, std::map<std::string, Proto>& all, Proto& updated) {
    const auto found = all.find(proto.name());
    if (found == all.end()) return NotThere();
    const bool fails = good_updates-- <= 0 && !update_fails.ok();
    if (fails && !stores_all_the_same) return update_fails;
    found->second.MergeFrom(proto);
    updated = found->second;
    return fails ? update_fails : grpc::Status::OK;
  }
  template <typename Proto>
  grpc::Status Get(const std::string& name, const std::map<std::string, Proto>& all, Proto& got) {
    if (!get_fails.ok()) return get_fails;
    const auto found = all.find(name);
    if (found == all.end()) return NotThere();
    got = found->second;
    return grpc::Status::OK;
  }
  template <typename Proto>
  grpc::Status Delete(const std::string& name, std::map<std::string, Proto>& all) {
    if (!delete_fails.ok()) return delete_fails;
    return all.erase(name) > 0 ? grpc::Status::OK : NotThere();
  }
};

}  // namespace dunlin::cli
