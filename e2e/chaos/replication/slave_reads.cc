// slave_reads: the slaves of a broker group serve what is confirmed while sends go on, the same as
// the master and nothing beyond; a reader that is far behind is served by one of them, and by the
// master when that one is killed; and when only one slave is left, consumers in offset mode still
// read all of it by the route of the name service, and sends are refused.

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"

#include "e2e/chaos/replication/cold_readers.h"
#include "e2e/chaos/replication/group.h"
#include "e2e/harness/broker.h"
#include "e2e/harness/client.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/harness/payload.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

namespace ns = nameservice::v1;

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr uint32_t kProducers = 16;
constexpr char kTopic[] = "replicated";
constexpr char kGroup[] = "broker-a";
constexpr milliseconds kSending{3000};
constexpr seconds kPatience{120};

std::unique_ptr<grpc::ClientContext> NewContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  AddHeaders(*context);
  context->set_deadline(std::chrono::system_clock::now() + seconds(10));
  return context;
}

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
}

// Asks again until it is OK; the last error otherwise.
absl::Status Await(const std::function<absl::Status()>& condition) {
  const auto deadline = steady_clock::now() + kPatience;
  for (;;) {
    const absl::Status status = condition();
    if (status.ok() || steady_clock::now() >= deadline) return status;
    poll(nullptr, 0, 20);
  }
}

class Bench {
 public:
  explicit Bench(const Arguments& arguments) : arguments_(arguments) {
    options_.broker = arguments.broker;
    options_.replicator = arguments.replicator;
    options_.directory = arguments.directory;
    // The last one of a group cannot be elected.
    options_.mode = "QUORUM";
  }

  absl::Status Run() {
    std::ofstream(arguments_.directory + "/secret") << "a secret of this test alone\n";
    RETURN_IF_ERROR(StartNames());
    options_.settings = {"broker.name_services=" + names_->address(),
                         std::string("broker.broker_name=") + kGroup,
                         "broker.cold_read_memory_bytes=4194304"};
    ASSIGN_OR_RETURN(group_, Group::Make(options_));
    for (int i = 0; i < Group::kMembers; ++i) RETURN_IF_ERROR(group_->Start(i));
    ASSIGN_OR_RETURN(master_, group_->AwaitMaster(kPatience));
    RETURN_IF_ERROR(group_->AwaitInSync(kPatience));
    RETURN_IF_ERROR(Await([this] { return CheckRegistered(master_, Group::kMembers); }));
    RETURN_IF_ERROR(ReadAtSlavesWhileSending());
    RETURN_IF_ERROR(CompareWithMaster());
    ASSIGN_OR_RETURN(cold_, ReadCold({*group_, master_, names_->address()}));
    RETURN_IF_ERROR(Await([this] { return CheckRegistered(master_, Group::kMembers); }));
    RETURN_IF_ERROR(LeaveOneSlave());
    return ComeBack();
  }

  Result Summary() const {
    Result result{.bench = "slave_reads",
                  .metric = "messages read at slaves, equal to the master's",
                  .value = static_cast<double>(compared_),
                  .unit = "messages",
                  .bound = 1};
    result.detail["acknowledged"] = history_.acknowledged();
    result.detail["read_while_sending"] = early_;
    result.detail["sent_by_slave_to_cold_reader"] = cold_;
    return result;
  }

 private:
  absl::Status StartNames() {
    const std::vector<std::string> arguments = {arguments_.names,
                                                "--data-dir",
                                                arguments_.directory + "/names",
                                                "--set",
                                                "server.listen_address=127.0.0.1:0",
                                                "--set",
                                                "metrics.listen_address=",
                                                "--set",
                                                "registry.start_grace_ms=0"};
    ASSIGN_OR_RETURN(names_, Program::Start(arguments, arguments_.directory + "/names.log"));
    return absl::OkStatus();
  }

  // `master` -1: there is none, and the one member left stands in.
  absl::Status CheckRegistered(int master, int members) const {
    ns::ListBrokerGroupsResponse response;
    const grpc::Status status = ns::RegistryService::NewStub(ChannelTo(names_->address()))
                                    ->ListBrokerGroups(NewContext().get(), {}, &response);
    if (!status.ok()) return absl::UnavailableError(status.error_message());
    const auto wrong = [&response] {
      return absl::InternalError("the name service knows " + response.ShortDebugString());
    };
    if (response.groups_size() != 1 || response.groups(0).members_size() != members) return wrong();
    const ns::GroupState& group = response.groups(0);
    for (const ns::GroupMember& member : group.members()) {
      const int number = member.identity().member()[0] - 'a';
      const bool is_master = number == master;
      const uint32_t id = is_master ? 0 : static_cast<uint32_t>(number) + 1;
      if (member.id() != id || member.role() != (is_master ? ns::MASTER : ns::SLAVE)) {
        return wrong();
      }
    }
    return group.acting_master().empty() == (master >= 0) ? absl::OkStatus() : wrong();
  }

  // What a slave shows is confirmed by then, by the master's own words.
  absl::Status CheckNothingBeyond(int slave) const {
    admin::v1::Broker broker;
    const grpc::Status status =
        admin::v1::AdminService::NewStub(ChannelTo(group_->broker_address(slave)))
            ->GetBroker(NewContext().get(), {}, &broker);
    if (!status.ok()) return absl::UnavailableError(status.error_message());
    ASSIGN_OR_RETURN(const replication::v1::GetMemberResponse master, group_->Ask(master_));
    if (static_cast<uint64_t>(broker.dispatched()) <= master.confirm()) return absl::OkStatus();
    return absl::DataLossError(fmt::format("slave {} shows the log up to {}, confirmed is {}",
                                           Group::NameOf(slave), broker.dispatched(),
                                           master.confirm()));
  }

  absl::Status ReadAtSlavesWhileSending() {
    // Made by the first send.
    RETURN_IF_ERROR(Await([this] { return SendOne(group_->broker_address(master_)); }));
    Load load({.address = group_->broker_address(master_), .topic = kTopic}, history_);
    load.Start();
    const auto until = steady_clock::now() + kSending;
    absl::Status status;
    while (status.ok() && steady_clock::now() < until) {
      for (int i = 0; i < Group::kMembers && status.ok(); ++i) {
        if (i == master_) continue;
        status = ReadOn(i);
        if (status.ok()) status = CheckNothingBeyond(i);
      }
    }
    const LoadResult result = load.Stop();
    RETURN_IF_ERROR(status);
    for (const auto& [slave, queues] : seen_) {
      for (const auto& ids : queues) early_ += ids.size();
    }
    if (early_ == 0) return absl::InternalError("nothing could be read while messages were sent");
    return result.refused == 0 ? absl::OkStatus() : absl::InternalError(result.refusal);
  }

  // What is there behind what was read before.
  absl::Status ReadOn(int slave) {
    V2Client client(group_->broker_address(slave));
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      std::vector<std::string>& ids = seen_[slave][queue];
      const absl::StatusOr<int64_t> next = client.Pull(
          {kTopic, queue}, static_cast<int64_t>(ids.size()), [&ids](const v2::Message& message) {
            const v2::SystemProperties& properties = message.system_properties();
            if (properties.queue_offset() != static_cast<int64_t>(ids.size()) ||
                !ReadPayload(message.body()).has_value()) {
              return absl::DataLossError("a slave gives " + properties.ShortDebugString());
            }
            ids.push_back(properties.message_id());
            return absl::OkStatus();
          });
      // The topic comes with the log.
      if (!next.ok() && !absl::StrContains(next.status().message(), "TOPIC_NOT_FOUND")) {
        return next.status();
      }
    }
    return absl::OkStatus();
  }

  absl::Status CompareWithMaster() {
    HistoryCheck at_master(history_, kQueues);
    RETURN_IF_ERROR(ReadBack(group_->broker_address(master_), kTopic, at_master));
    RETURN_IF_ERROR(at_master.CheckNothingMissing());
    const std::array<std::vector<std::string>, kQueues>* first = nullptr;
    for (int i = 0; i < Group::kMembers; ++i) {
      if (i == master_) continue;
      RETURN_IF_ERROR(Await([&] { return CheckSameEnds(i); }));
      HistoryCheck at_slave(history_, kQueues);
      RETURN_IF_ERROR(ReadBack(group_->broker_address(i), kTopic, at_slave));
      RETURN_IF_ERROR(at_slave.CheckNothingMissing());
      RETURN_IF_ERROR(at_slave.CheckAgreesWith(at_master));
      compared_ += at_slave.read();
      // What was read early stands where it stood. A pull ends after some messages.
      for (size_t before = 1, now = 0; before != now;) {
        before = now;
        RETURN_IF_ERROR(ReadOn(i));
        now = 0;
        for (const std::vector<std::string>& ids : seen_.at(i)) now += ids.size();
      }
      if (first == nullptr) first = &seen_.at(i);
      if (*first != seen_.at(i)) {
        return absl::DataLossError("two slaves gave different messages");
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckSameEnds(int slave) const {
    V2Client ours(group_->broker_address(slave));
    V2Client theirs(group_->broker_address(master_));
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      ASSIGN_OR_RETURN(const int64_t here, ours.EndOffset({kTopic, queue}));
      ASSIGN_OR_RETURN(const int64_t there, theirs.EndOffset({kTopic, queue}));
      if (here != there) {
        return absl::InternalError(fmt::format("queue {} of slave {} ends at {}, not {}", queue,
                                               Group::NameOf(slave), here, there));
      }
    }
    return absl::OkStatus();
  }

  absl::Status LeaveOneSlave() {
    // Not the one that would stand in while others are there.
    left_ = master_ == Group::kMembers - 1 ? master_ - 1 : Group::kMembers - 1;
    for (int i = 0; i < Group::kMembers; ++i) {
      if (i != left_) group_->Kill(i, Group::Half::kBoth);
    }
    RETURN_IF_ERROR(Await([this] { return CheckRegistered(-1, 1); }));
    std::string address;
    RETURN_IF_ERROR(Await([&] { return AskForRoute(address); }));
    if (address != group_->broker_address(left_)) {
      return absl::InternalError("the route leads to " + address);
    }
    HistoryCheck alone(history_, kQueues);
    RETURN_IF_ERROR(ReadBack(address, kTopic, alone));
    RETURN_IF_ERROR(alone.CheckNothingMissing());
    RETURN_IF_ERROR(SubscribeAt(address));
    const absl::Status sent = SendOne(address);
    return absl::StrContains(sent.message(), "HA_NOT_AVAILABLE")
               ? absl::OkStatus()
               : absl::InternalError("a send to the last slave: " + sent.ToString());
  }

  // The place that all queues of the topic are to be read at, and not to be written.
  absl::Status AskForRoute(std::string& address) const {
    v2::QueryRouteRequest request;
    request.mutable_topic()->set_name(kTopic);
    v2::QueryRouteResponse response;
    const grpc::Status status = v2::MessagingService::NewStub(ChannelTo(names_->address()))
                                    ->QueryRoute(NewContext().get(), request, &response);
    if (!status.ok()) return absl::UnavailableError(status.error_message());
    if (response.message_queues_size() != static_cast<int>(kQueues)) {
      return absl::InternalError("a route of " + response.ShortDebugString());
    }
    for (const v2::MessageQueue& queue : response.message_queues()) {
      if (queue.permission() != v2::READ) {
        return absl::InternalError("a queue of " + queue.ShortDebugString());
      }
      const v2::Address& at = queue.broker().endpoints().addresses(0);
      address = fmt::format("{}:{}", at.host(), at.port());
    }
    return absl::OkStatus();
  }

  // All messages of one queue, as the consumers of dunlin.broker.v1 get them.
  absl::Status SubscribeAt(const std::string& address) const {
    const auto stub = broker::v1::StreamService::NewStub(ChannelTo(address));
    const auto context = NewContext();
    const auto stream = stub->Subscribe(context.get());
    broker::v1::SubscribeRequest request;
    request.mutable_open()->set_credit_bytes(uint64_t{1} << 40);
    stream->Write(request);
    request.mutable_attach()->set_binding(1);
    request.mutable_attach()->mutable_topic()->set_name(kTopic);
    request.mutable_attach()->mutable_offset()->set_start(broker::v1::OffsetMode::FIRST);
    stream->Write(request);
    const uint64_t end = seen_.at(left_)[0].size();
    uint64_t next = 0;
    broker::v1::SubscribeResponse response;
    while (next < end && stream->Read(&response)) {
      if (response.has_frame()) next = response.frame().next_offset();
    }
    context->TryCancel();
    const grpc::Status status = stream->Finish();
    if (next == end) return absl::OkStatus();
    return absl::InternalError(
        fmt::format("a subscription came to {} of {}: {}", next, end, status.error_message()));
  }

  absl::Status ComeBack() {
    for (int i = 0; i < Group::kMembers; ++i) RETURN_IF_ERROR(group_->Start(i));
    ASSIGN_OR_RETURN(master_, group_->AwaitMaster(kPatience));
    RETURN_IF_ERROR(group_->AwaitInSync(kPatience));
    RETURN_IF_ERROR(Await([this] { return CheckRegistered(master_, Group::kMembers); }));
    RETURN_IF_ERROR(SendOne(group_->broker_address(master_)));
    return CompareWithMaster();
  }

  absl::Status SendOne(const std::string& address) {
    const Identity identity = history_.Send(0);
    v2::SendMessageRequest request;
    v2::Message& message = *request.add_messages();
    message.mutable_topic()->set_name(kTopic);
    FillPayload(identity, 128, *message.mutable_body());
    v2::SystemProperties& properties = *message.mutable_system_properties();
    properties.set_message_id(MessageIdOf(identity));
    properties.set_message_type(v2::NORMAL);
    properties.set_body_encoding(v2::IDENTITY);
    V2Client client(address);
    const absl::StatusOr<int64_t> offset = client.Send(request);
    if (offset.ok()) history_.Acknowledge(identity, *offset);
    return offset.status();
  }

  const Arguments& arguments_;
  GroupOptions options_;
  std::unique_ptr<Program> names_;
  std::unique_ptr<Group> group_;
  History history_{kProducers};
  // By slave and queue: ids of the messages in the order of their offsets.
  std::map<int, std::array<std::vector<std::string>, kQueues>> seen_;
  int master_ = 0;
  int left_ = 0;
  uint64_t early_ = 0;
  uint64_t cold_ = 0;
  uint64_t compared_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::RunBench<dunlin::e2e::Bench>(argc, argv); }
