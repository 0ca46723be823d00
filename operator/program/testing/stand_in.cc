#include "operator/program/testing/stand_in.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <utility>

#include "operator/k8s/conditions.h"
#include "operator/planner/members.h"
#include "operator/planner/objects.h"
#include "operator/planner/resource_types.h"
#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/check.h"

namespace dunlin::op {
namespace {

namespace v1 = replication::v1;
using k8s::Json;

constexpr std::chrono::milliseconds kLook{100};

bool IsReady(const Json& pod) {
  const Json* const conditions = k8s::Find(pod, {"status", "conditions"});
  return conditions != nullptr && k8s::IsConditionTrue(*conditions, "Ready") &&
         !k8s::IsBeingDeleted(pod);
}

}  // namespace

// Of all groups at a time; who is asked for is told by the successor's name.
class StandIn::Replicator final : public v1::ReplicationService::Service {
 public:
  explicit Replicator(StandIn& world) : world_(world) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:10912", grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }
  ~Replicator() override { server_->Shutdown(); }

  // That of the one group that is updated.
  grpc::Status GetMember(grpc::ServerContext* /*context*/, const v1::GetMemberRequest* /*request*/,
                         v1::GetMemberResponse* response) override {
    MutexLock lock(world_.mutex_);
    for (const auto& [name, group] : world_.groups_) {
      if (group.master.empty()) continue;
      response->set_group(name);
      response->set_member(group.master);
      response->set_role(v1::MASTER);
      response->set_epoch(static_cast<uint32_t>(group.epoch));
    }
    return grpc::Status::OK;
  }
  grpc::Status Switchover(grpc::ServerContext* /*context*/, const v1::SwitchoverRequest* request,
                          v1::SwitchoverResponse* /*response*/) override {
    MutexLock lock(world_.mutex_);
    Group& group = world_.groups_[request->group()];
    if (request->credential().proof().empty() || !group.in_sync.contains(request->successor())) {
      return {grpc::StatusCode::FAILED_PRECONDITION, request->successor() + " is not in sync"};
    }
    group.master = request->successor();
    ++group.epoch;
    ++world_.switchovers_;
    return grpc::Status::OK;
  }

  grpc::Status ChangeMembers(grpc::ServerContext* /*context*/,
                             const v1::ChangeMembersRequest* request,
                             v1::ChangeMembersResponse* /*response*/) override {
    MutexLock lock(world_.mutex_);
    Group& group = world_.groups_[request->group()];
    if (request->credential().proof().empty() || request->remove().member() == group.master) {
      return {grpc::StatusCode::FAILED_PRECONDITION, group.master + " is the master"};
    }
    if (request->has_add()) group.members.insert(request->add().member());
    group.members.erase(request->remove().member());
    return grpc::Status::OK;
  }

 private:
  StandIn& world_;
  std::unique_ptr<grpc::Server> server_;
};

StandIn::StandIn(k8s::Client& client, std::string space, const Clock& clock)
    : client_(client), space_(std::move(space)), clock_(clock) {
  replicator_ = std::make_unique<Replicator>(*this);
  thread_ = std::thread([this] { Run(); });
}

StandIn::~StandIn() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.Signal();
  }
  thread_.join();
}

int StandIn::LeastReady(const std::string& group) {
  MutexLock lock(mutex_);
  return groups_[group].least_ready;
}

std::set<std::string> StandIn::Members(const std::string& group) {
  MutexLock lock(mutex_);
  return groups_[group].members;
}

void StandIn::CountAnew(const std::string& group) {
  MutexLock lock(mutex_);
  groups_[group].least_ready = 1000;
}

void StandIn::Run() {
  for (;;) {
    const Timestamp begun = clock_.Now();
    Look();
    // Of many pods a look takes a while, and the API server has other things to do.
    const auto pause = std::max<std::chrono::milliseconds>(kLook, clock_.Now() - begun);
    MutexLock lock(mutex_);
    if (!stopping_) changed_.WaitUntil(mutex_, std::chrono::steady_clock::now() + pause);
    if (stopping_) return;
  }
}

void StandIn::Look() {
  const auto pods = client_.ListAll(
      PodType(),
      {.space = space_, .label_selector = "app.kubernetes.io/managed-by=dunlin-operator"});
  if (!pods.ok()) return;  // the API server is away
  std::map<std::string, std::set<std::string>> ready;
  for (const Json& pod : pods->items) {
    const std::string group(k8s::LabelOf(pod, kGroupLabel));  // empty: of a name service
    if (!group.empty()) ready[group];
    if (!group.empty()) Begin(group, k8s::AnnotationOf(pod, kMembersAnnotation));
    if (IsReady(pod)) {
      if (!group.empty()) ready[group].insert(k8s::KeyOf(pod).name);
    } else if (!k8s::IsBeingDeleted(pod)) {
      MakeReady(pod);
    }
  }
  for (const auto& [name, members] : ready) {
    std::optional<Group> changed;
    {
      MutexLock lock(mutex_);
      Group& group = groups_[name];
      group.least_ready = std::min(group.least_ready, static_cast<int>(members.size()));
      Elect(name, group, members);
      changed = group;
    }
    WriteLease(name, *changed);
    MutexLock lock(mutex_);
    groups_[name].written = changed->written;
  }
}

void StandIn::MakeReady(const Json& pod) {
  Json status = {{"status", {{"phase", "Running"}, {"podIP", "127.0.0.1"}}}};
  k8s::SetCondition(status["status"]["conditions"],
                    {"Ready", k8s::ConditionStatus::kTrue, "Ready", ""}, 0, clock_.Now());
  k8s::ApiCall call = k8s::MergePatch(PodType(), k8s::KeyOf(pod), status);
  call.path = k8s::PathOf(PodType(), k8s::KeyOf(pod), "status");
  // It may be gone meanwhile; the next look sees.
  static_cast<void>(client_.Run(std::move(call)));
}

// A group begins with the members that its configuration lists.
void StandIn::Begin(const std::string& name, std::string_view listed) {
  MutexLock lock(mutex_);
  Group& group = groups_[name];
  if (group.epoch > 0) return;
  for (int i = 0; i < std::stoi(std::string(listed)); ++i) {
    group.members.insert(fmt::format("{}-{}", name, i));
  }
}

void StandIn::Elect(const std::string& /*name*/, Group& group, const std::set<std::string>& ready) {
  if (!ready.contains(group.master)) {
    group.master.clear();
    for (const std::string& member : ready) {
      if (group.epoch > 0 && !group.in_sync.contains(member)) continue;
      if (!group.members.contains(member)) continue;
      group.master = member;
      ++group.epoch;
      break;
    }
  }
  if (group.master.empty()) return;
  group.in_sync.clear();
  std::set_intersection(ready.begin(), ready.end(), group.members.begin(), group.members.end(),
                        std::inserter(group.in_sync, group.in_sync.end()));
}

void StandIn::WriteLease(const std::string& name, Group& group) {
  Json record = {{"epoch", group.epoch}, {"master", group.master}, {"inSync", group.in_sync}};
  for (const std::string& member : group.members) record["members"].push_back({{"name", member}});
  const std::string text = k8s::PrintJson(record);
  if (text == group.written) return;
  const Json patch = {
      {"metadata", {{"annotations", {{"dunlin.dev/record", text}}}}},
      {"spec", {{"holderIdentity", group.master.empty() ? Json() : Json(group.master)}}}};
  if (client_.Run(k8s::MergePatch(LeaseType(), {space_, name + "-master"}, patch)).ok()) {
    group.written = text;
  }
}

}  // namespace dunlin::op
