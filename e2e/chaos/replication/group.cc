#include "e2e/chaos/replication/group.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <unistd.h>

#include <iterator>
#include <utility>

#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/status_macros.h"
#include "services/base/testing/free_ports.h"
#include "services/replicator/transport/credential.h"
#include "services/replicator/transport/secret.h"

namespace dunlin::e2e {
namespace {

namespace v1 = replication::v1;
using std::chrono::steady_clock;

void Pause() { poll(nullptr, 0, 20); }

}  // namespace

absl::StatusOr<std::unique_ptr<Group>> Group::Make(const GroupOptions& options) {
  auto group = std::unique_ptr<Group>(new Group(options));
  if (options.network) {
    ASSIGN_OR_RETURN(group->network_,
                     Network::Make(kMembers + 1, options.directory + "/network.log"));
    for (int i = 0; i < kMembers; ++i) {
      group->members_[i].broker_address = group->network_->Address(i) + ":8081";
      group->members_[i].replicator_address = group->network_->Address(i) + ":10912";
    }
  } else {
    const std::vector<int> ports = FreePorts(2 * group->size());
    for (int i = 0; i < group->size(); ++i) {
      group->members_[i].broker_address = fmt::format("127.0.0.1:{}", ports[2 * i]);
      group->members_[i].replicator_address = fmt::format("127.0.0.1:{}", ports[2 * i + 1]);
    }
  }
  RETURN_IF_ERROR(group->StartEtcd());
  return group;
}

std::vector<std::string> Group::On(int machine, std::vector<std::string> command) const {
  if (network_ == nullptr) return command;
  std::vector<std::string> words = network_->On(machine);
  words.insert(words.end(), std::make_move_iterator(command.begin()),
               std::make_move_iterator(command.end()));
  return words;
}

absl::Status Group::StartEtcd() {
  const std::vector<int> ports = FreePorts(2);
  const std::string host = network_ == nullptr ? "127.0.0.1" : network_->Address(kEtcd);
  etcd_address_ = fmt::format("{}:{}", host, ports[0]);
  // etcd says nothing on standard output when it is ready: who waits for its port says so.
  const std::string script = fmt::format(
      "etcd --data-dir {0}/etcd --listen-client-urls http://{1} --advertise-client-urls http://{1} "
      "--listen-peer-urls http://127.0.0.1:{2} --initial-advertise-peer-urls http://127.0.0.1:{2} "
      "--initial-cluster default=http://127.0.0.1:{2} --unsafe-no-fsync >{0}/etcd.log 2>&1 & "
      "until (echo > /dev/tcp/{3}/{4}) 2>/dev/null; do sleep 0.1; done; "
      "echo etcd is ready on {1}; wait",
      options_.directory, etcd_address_, ports[1], host, ports[0]);
  ASSIGN_OR_RETURN(etcd_, Program::Start(On(kEtcd, {"/bin/bash", "-c", script}),
                                         options_.directory + "/etcd-start.log"));
  return absl::OkStatus();
}

std::string Group::data(int member) const {
  return fmt::format("{}/{}", options_.stores.empty() ? options_.directory : options_.stores,
                     NameOf(member));
}

std::string Group::store(int member) const { return data(member) + "/store"; }

std::vector<std::string> Group::Settings(int member) const {
  std::string members;
  for (int i = 0; i < kMembers; ++i) {
    members += fmt::format("{}{}={}", i == 0 ? "" : " ", NameOf(i),
                           members_[i].replicator_address + (i + 1 < kMembers ? "," : ""));
  }
  std::vector<std::string> settings = {
      "data_dir=" + data(member),
      "server.listen_address=" + members_[member].broker_address,
      "server.tls.mode=OFF",
      "metrics.listen_address=",
      "name_service.enabled=false",
      "broker.auto_create_topics=true",
      "broker.default_topic_queues=4",
      "broker.max_receive_batch=1024",
      fmt::format("store.flush_mode={}", options_.sync_flush ? "SYNC_FLUSH" : "ASYNC_FLUSH"),
      fmt::format("store.segment_size_bytes={}", options_.segment_bytes),
      "replication.member=" + NameOf(member),
      "replication.members=" + (member < kMembers ? members : ""),
      "replication.mode=" + options_.mode,
      "replication.coordinator=ETCD",
      "replication.etcd_endpoints=" + etcd_address_,
      "replication.secret_file=" + options_.directory + "/secret",
      "replication.listen_address=" + members_[member].replicator_address,
      "replication.metrics_listen_address="};
  settings.insert(settings.end(), options_.settings.begin(), options_.settings.end());
  std::vector<std::string> arguments;
  for (std::string& setting : settings) {
    arguments.emplace_back("--set");
    arguments.push_back(std::move(setting));
  }
  return arguments;
}

absl::Status Group::Start(int member) {
  Member& started = members_[member];
  const std::vector<std::string> settings = Settings(member);
  const std::string log =
      fmt::format("{}/{}-{}", options_.directory, NameOf(member), started.lives++);
  std::vector<std::string> arguments = {options_.broker};
  arguments.insert(arguments.end(), settings.begin(), settings.end());
  if (started.broker == nullptr) {
    ASSIGN_OR_RETURN(started.broker, Program::Start(On(member, arguments), log + "-broker.log"));
  }
  if (one_process()) return absl::OkStatus();
  arguments[0] = options_.replicator;
  if (started.replicator == nullptr) {
    ASSIGN_OR_RETURN(started.replicator,
                     Program::Start(On(member, arguments), log + "-replicator.log"));
  }
  return absl::OkStatus();
}

void Group::Kill(int member, Half half) {
  if (half != Half::kReplicator) members_[member].broker.reset();
  if (half != Half::kBroker) members_[member].replicator.reset();
}

absl::Status Group::Freeze(int member) {
  RETURN_IF_ERROR(members_[member].replicator->Freeze());
  return members_[member].broker->Freeze();
}

absl::Status Group::Thaw(int member) {
  RETURN_IF_ERROR(members_[member].broker->Thaw());
  return members_[member].replicator->Thaw();
}

absl::Status Group::Stop(int member) {
  Member& stopped = members_[member];
  absl::Status status = one_process() ? absl::OkStatus() : stopped.replicator->Stop();
  status.Update(stopped.broker->Stop());
  stopped.replicator.reset();
  stopped.broker.reset();
  return status;
}

absl::Status Group::CheckRunning() const {
  for (const Member& member : members_) {
    if (member.broker != nullptr) RETURN_IF_ERROR(member.broker->CheckRunning());
    if (member.replicator != nullptr) RETURN_IF_ERROR(member.replicator->CheckRunning());
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::GetMemberResponse> Group::Ask(int member) const {
  const auto stub = v1::ReplicationService::NewStub(
      grpc::CreateChannel(members_[member].replicator_address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  v1::GetMemberResponse response;
  const grpc::Status status = stub->GetMember(&context, {}, &response);
  if (!status.ok()) return absl::UnavailableError(status.error_message());
  return response;
}

absl::Status Group::SwitchOver(int master, int next) const {
  ASSIGN_OR_RETURN(const v1::GetMemberResponse asked, Ask(master));
  ASSIGN_OR_RETURN(const replicator::Secret secret,
                   replicator::Secret::Load(RealFiles(), options_.directory + "/secret"));
  v1::SwitchoverRequest request;
  request.set_group(asked.group());
  request.set_successor(NameOf(next));
  *request.mutable_credential() = replicator::MakeCredential(
      secret, "a test", {"Switchover", asked.group(), asked.member(), NameOf(next)},
      SystemClock().Now());
  const auto stub = v1::ReplicationService::NewStub(
      grpc::CreateChannel(members_[master].replicator_address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::SwitchoverResponse response;
  const grpc::Status status = stub->Switchover(&context, request, &response);
  return status.ok() ? absl::OkStatus() : absl::UnavailableError(status.error_message());
}

absl::StatusOr<int> Group::AwaitMaster(std::chrono::seconds patience) const {
  const auto deadline = steady_clock::now() + patience;
  std::string heard;
  while (steady_clock::now() < deadline) {
    RETURN_IF_ERROR(CheckRunning());
    heard.clear();
    for (int i = 0; i < size(); ++i) {
      if (!runs(i)) continue;
      const absl::StatusOr<v1::GetMemberResponse> member = Ask(i);
      if (!member.ok()) continue;
      if (member->role() == v1::MASTER && member->accepting()) return i;
      heard += fmt::format("\n{}: {}, {}", NameOf(i), member->state(), member->problem());
    }
    Pause();
  }
  return absl::DeadlineExceededError(
      fmt::format("no master after {} s: {}", patience.count(), heard));
}

absl::Status Group::AwaitInSync(std::chrono::seconds patience) const {
  const auto deadline = steady_clock::now() + patience;
  int running = 0;
  for (int i = 0; i < size(); ++i) running += runs(i) ? 1 : 0;
  std::string heard;
  while (steady_clock::now() < deadline) {
    ASSIGN_OR_RETURN(const int master, AwaitMaster(patience));
    const absl::StatusOr<v1::GetMemberResponse> member = Ask(master);
    if (member.ok()) {
      int caught_up = 0;
      for (const v1::SlaveStatus& slave : member->slaves()) caught_up += slave.lag_bytes() == 0;
      if (member->in_sync_size() == running && caught_up == running - 1) return absl::OkStatus();
      heard = member->ShortDebugString();
    }
    Pause();
  }
  return absl::DeadlineExceededError(
      fmt::format("not all in sync after {} s: {}", patience.count(), heard));
}

}  // namespace dunlin::e2e
