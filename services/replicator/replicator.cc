#include "services/replicator/replicator.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "operator/k8s/kubeconfig.h"
#include "services/base/civil_clock.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/replicator/coordinator/etcd_access.h"
#include "services/replicator/coordinator/etcd_coordinator.h"
#include "services/replicator/coordinator/kubernetes_coordinator.h"
#include "services/replicator/coordinator/static_coordinator.h"
#include "services/replicator/driver/member_driver.h"
#include "services/replicator/driver/member_metrics.h"
#include "services/replicator/membership.h"
#include "services/replicator/rpc/replication_service.h"
#include "services/replicator/transport/handshake.h"
#include "services/replicator/transport/secret.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/peer_credentials.h"

namespace dunlin::replicator {
namespace {

// What a planned stop of a master may take longer for the next one to be elected at once.
constexpr std::chrono::milliseconds kHandOverPatience{3000};

using config::v1::DunlinConfig;
using config::v1::ReplicationConfig;
using config::v1::StoreConfig;

Mode ModeOf(ReplicationConfig::Mode mode) {
  switch (mode) {
    case ReplicationConfig::ASYNC:
      return Mode::kAsync;
    case ReplicationConfig::SYNC:
      return Mode::kSync;
    case ReplicationConfig::QUORUM:
      return Mode::kQuorum;
  }
  return Mode::kAsync;
}

MemberOptions MemberOptionsOf(const DunlinConfig& config, const Membership& membership) {
  MemberOptions options;
  options.name = membership.self;
  options.members = membership.Voters();
  options.learners = membership.learners;
  options.roster = membership.roster;
  options.mode = ModeOf(config.replication().mode());
  options.flush =
      config.store().flush_mode() == StoreConfig::SYNC_FLUSH ? Flush::kSync : Flush::kAsync;
  const ReplicationConfig& replication = config.replication();
  options.min_in_sync = replication.min_in_sync();
  options.lag_limit = std::chrono::seconds(replication.max_lag_seconds());
  options.switchover_limit = std::chrono::seconds(replication.switchover_timeout_seconds());
  options.manual_election = replication.election() == ReplicationConfig::MANUAL;
  options.election_delay = std::chrono::seconds(replication.election_delay_seconds());
  if (replication.unclean_election_after_seconds() > 0) {
    options.unclean_after = std::chrono::seconds(replication.unclean_election_after_seconds());
  }
  return options;
}

MemberDriver::Options DriverOptionsOf(const DunlinConfig& config, const Membership& membership,
                                      const Identity& identity) {
  MemberDriver::Options options;
  options.identity = identity;
  options.member = MemberOptionsOf(config, membership);
  options.addresses = membership.addresses;
  options.directory = config.data_dir() + "/store";
  options.flush_interval = std::chrono::milliseconds(config.store().flush_interval_ms());
  options.receiver.learner = membership.learners.contains(membership.self);
  return options;
}

absl::StatusOr<std::unique_ptr<Coordinator>> MakeEtcdCoordinator(const ReplicationConfig& config,
                                                                 const Identity& identity,
                                                                 FileSystem& files) {
  EtcdCoordinator::Options options;
  options.endpoints = SplitList(config.etcd_endpoints());
  options.prefix = config.etcd_prefix();
  options.group = identity.group;
  options.member = identity.member;
  options.ttl = std::chrono::seconds(config.lease_ttl_seconds());
  ASSIGN_OR_RETURN(EtcdAccess access,
                   ReadEtcdAccess({.user = config.etcd_user(),
                                   .password = config.etcd_password_file(),
                                   .ca = config.etcd_ca_file(),
                                   .certificate = config.etcd_certificate_file(),
                                   .private_key = config.etcd_private_key_file()},
                                  files));
  options.credentials = std::move(access.credentials);
  options.login = std::move(access.login);
  return std::make_unique<EtcdCoordinator>(std::move(options));
}

// What Kubernetes takes as a name, but for dots.
bool IsLeaseName(std::string_view name) {
  constexpr std::string_view kEnds = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr size_t kLongest = 253;
  if (name.empty() || name.size() > kLongest) return false;
  if (kEnds.find(name.front()) == kEnds.npos || kEnds.find(name.back()) == kEnds.npos) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return c == '-' || kEnds.find(c) != kEnds.npos; });
}

absl::StatusOr<std::unique_ptr<Coordinator>> MakeKubernetesCoordinator(
    const ReplicationConfig& config, const Identity& identity, const Clock& clock) {
  KubernetesCoordinator::Options options;
  ASSIGN_OR_RETURN(options.server,
                   config.kubeconfig().empty()
                       ? k8s::InClusterServer(k8s::PodEnvironment::FromProcess(), clock)
                       : k8s::ReadKubeconfig(config.kubeconfig(), "", clock));
  options.lease.space = config.kubernetes_namespace().empty() ? options.server.default_namespace
                                                              : config.kubernetes_namespace();
  options.lease.name =
      config.kubernetes_lease().empty() ? identity.group : config.kubernetes_lease();
  if (!IsLeaseName(options.lease.name)) {
    return absl::InvalidArgumentError(fmt::format(
        "replication.kubernetes_lease: \"{}\" can be no name of a Lease: up to 253 lower case "
        "letters, digits and '-', with a letter or digit at both ends",
        options.lease.name));
  }
  options.member = identity.member;
  options.ttl = std::chrono::seconds(config.lease_ttl_seconds());
  return std::make_unique<KubernetesCoordinator>(std::move(options), clock);
}

absl::StatusOr<std::unique_ptr<Coordinator>> MakeCoordinator(const ReplicationConfig& config,
                                                             const Identity& identity,
                                                             FileSystem& files,
                                                             const Clock& clock) {
  switch (config.coordinator()) {
    case ReplicationConfig::STATIC:
      break;
    case ReplicationConfig::ETCD:
      return MakeEtcdCoordinator(config, identity, files);
    case ReplicationConfig::KUBERNETES:
      return MakeKubernetesCoordinator(config, identity, clock);
  }
  return std::make_unique<StaticCoordinator>(identity.member, config.master());
}

}  // namespace

// Declared in the order of levels, so that destruction runs in reverse.
class Replicator::Rooms {
 public:
  absl::Status Open(const DunlinConfig& config, FileSystem& files, const Clock& clock,
                    std::function<void()> on_failure) {
    if (config.server().tls().mode() == config::v1::TlsConfig::REQUIRED &&
        config.peer_tls().mode() == config::v1::PeerTlsConfig::OFF) {
      return absl::InvalidArgumentError(
          "server.tls.mode is REQUIRED, and with peer_tls.mode OFF members of a broker group talk "
          "plaintext to each other: set peer_tls.mode to ENCRYPTED or VERIFIED");
    }
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                     PeerCredentials(config.peer_tls(), files));
    ASSIGN_OR_RETURN(const Membership membership, ReadMembership(config.replication()));
    identity.group = config.broker().broker_name();
    identity.member = membership.self;
    identity.others = membership.Others();
    ASSIGN_OR_RETURN(identity.secret, Secret::Load(files, config.replication().secret_file()));
    if (identity.secret.empty()) {
      log::Warning(
          "replication.secret_file is not set: whoever reaches the port may pass for a member");
    }
    ASSIGN_OR_RETURN(coordinator, MakeCoordinator(config.replication(), identity, files, clock));
    MemberDriver::Options options = DriverOptionsOf(config, membership, identity);
    options.receiver.credentials = credentials;
    options.peers.credentials = credentials;
    ASSIGN_OR_RETURN(driver, MemberDriver::Start(std::move(options), files, clock, *coordinator,
                                                 std::move(on_failure)));
    service = std::make_unique<ReplicationServiceImpl>(identity, *driver, civil_clock);
    metrics = std::make_shared<MemberMetrics>(*driver);
    server_config = config.server();
    server_config.set_listen_address(config.replication().listen_address());
    ASSIGN_OR_RETURN(server, GrpcServer::Start(server_config, config.data_dir(),
                                               {.services = {service.get()},
                                                .max_request_bytes = kMaxRequestBytes}));
    server->SetServing(true);
    return absl::OkStatus();
  }

  const CivilClock civil_clock{};  // of credentials
  Identity identity;
  std::unique_ptr<Coordinator> coordinator;
  std::unique_ptr<MemberDriver> driver;
  std::unique_ptr<ReplicationServiceImpl> service;
  std::shared_ptr<MemberMetrics> metrics;
  config::v1::ServerConfig server_config;
  std::unique_ptr<GrpcServer> server;
};

Replicator::Replicator(std::unique_ptr<Rooms> rooms) : rooms_(std::move(rooms)) {}

Replicator::~Replicator() {
  if (const absl::Status stopped = Stop(); !stopped.ok()) {
    log::Error("the replicator did not stop cleanly: {}", stopped.ToString());
  }
}

absl::StatusOr<std::unique_ptr<Replicator>> Replicator::Start(const DunlinConfig& config,
                                                              FileSystem& files, const Clock& clock,
                                                              std::function<void()> on_failure) {
  auto rooms = std::make_unique<Rooms>();
  RETURN_IF_ERROR(rooms->Open(config, files, clock, std::move(on_failure)));
  return std::unique_ptr<Replicator>(new Replicator(std::move(rooms)));
}

uint16_t Replicator::port() const { return rooms_->server->port(); }

std::function<AcceptorCounts()> Replicator::connection_counter() const {
  return rooms_->server->connection_counter();
}

std::shared_ptr<prometheus::Collectable> Replicator::metrics() const { return rooms_->metrics; }

void Replicator::HandOver() { rooms_->driver->HandOver(kHandOverPatience); }

absl::Status Replicator::Stop() {
  if (rooms_->server != nullptr) rooms_->server->SetServing(false);
  if (rooms_->metrics != nullptr) rooms_->metrics->Close();
  // Ends streams and calls that wait, so that the server has nothing left.
  const absl::Status stopped =
      rooms_->driver != nullptr ? rooms_->driver->Stop() : absl::OkStatus();
  if (rooms_->server != nullptr) {
    rooms_->server->Stop(std::chrono::milliseconds(rooms_->server_config.shutdown_grace_ms()));
  }
  return stopped;
}

}  // namespace dunlin::replicator
