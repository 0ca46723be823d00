#include "services/broker/member/role_switch.h"

#include <fmt/format.h>
#include <pthread.h>

#include <chrono>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/member/busy_beat.h"
#include "services/broker/member/standing.h"
#include "services/runtime/host_port.h"
#include "services/runtime/peer_credentials.h"
#include "services/runtime/program.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;

// How soon a new role is noticed. Looked at, not waited for: the bell of the page rings with every
// message.
constexpr milliseconds kLookInterval{10};
constexpr milliseconds kBeatInterval{250};
// After a role that could not be opened: at first, then twice as long each time. Each time is a
// line of the log.
constexpr milliseconds kRetryFirst{250};
constexpr milliseconds kRetryLongest{16000};
// A lease that is over may be renewed so much later without the master closing: a replicator that
// is started again at once.
constexpr milliseconds kLeaseGrace{1000};

milliseconds RetryInterval(int failures) {
  milliseconds interval = kRetryFirst;
  for (int i = 1; i < failures && interval < kRetryLongest; ++i) interval *= 2;
  return interval;
}

// What calls under way may take when the role changes: nobody gets an answer from this role later.
constexpr milliseconds kGrace{500};

}  // namespace

absl::StatusOr<std::unique_ptr<RoleSwitch>> RoleSwitch::Start(
    const config::v1::DunlinConfig& config, FileSystem& files, const Clock& clock,
    std::function<void()> on_failure) {
  const std::string directory = config.data_dir() + "/store";
  RETURN_IF_ERROR(files.CreateDirectories(directory));
  ASSIGN_OR_RETURN(std::unique_ptr<store::ControlPage> page,
                   store::ControlPage::Open(files, directory + "/control"));
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> peer_credentials,
                   PeerCredentials(config.peer_tls(), files));
  auto role = std::unique_ptr<RoleSwitch>(new RoleSwitch(
      config, files, clock, std::move(on_failure), std::move(page), peer_credentials));
  RETURN_IF_ERROR(role->ServeRefusals());
  role->port_ = role->server_->port();
  role->page_->Report({store::BrokerState::kStopped, 0});
  role->thread_ = std::thread([raw = role.get()] { raw->Run(); });
  pthread_setname_np(role->thread_.native_handle(), "role");
  return role;
}

RoleSwitch::RoleSwitch(const config::v1::DunlinConfig& config, FileSystem& files,
                       const Clock& clock, std::function<void()> on_failure,
                       std::unique_ptr<store::ControlPage> page,
                       const std::shared_ptr<grpc::ChannelCredentials>& peer_credentials)
    : config_(config),
      server_config_(config.server()),
      files_(files),
      clock_(clock),
      on_failure_(std::move(on_failure)),
      page_(std::move(page)),
      broker_metrics_(std::make_shared<BrokerMetrics>(files, config.data_dir())) {
  const config::v1::BrokerConfig& broker = config.broker();
  if (broker.name_services().empty()) return;
  others_ = std::make_unique<OtherBrokers>(OtherBrokers::Options{
      .group = broker.broker_name(),
      .name_services = {broker.name_services().begin(), broker.name_services().end()},
      .credentials = peer_credentials});
}

RoleSwitch::~RoleSwitch() {
  if (const absl::Status stopped = Stop(); !stopped.ok()) {
    log::Error("the broker did not stop cleanly: {}", stopped.ToString());
  }
}

std::function<AcceptorCounts()> RoleSwitch::connection_counter() const {
  return [counter = counter_] {
    MutexLock lock(counter->mutex);
    return counter->now();
  };
}

absl::Status RoleSwitch::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (!thread_.joinable()) return absl::OkStatus();
  thread_.join();
  CloseRole(store::Role::kNone);
  if (server_ != nullptr) server_->Stop(milliseconds(0));
  server_.reset();
  page_->Report({store::BrokerState::kStopped, carried_out_.serial});
  return absl::OkStatus();
}

void RoleSwitch::Run() {
  do {
    Step();
  } while (Sleep());
}

bool RoleSwitch::Sleep() {
  MutexLock lock(mutex_);
  if (!stopping_) {
    changed_.WaitUntil(mutex_, std::chrono::steady_clock::now() + kLookInterval);
  }
  return !stopping_;
}

void RoleSwitch::Step() {
  const Timestamp now = clock_.Now();
  const store::Wanted wanted = page_->wanted();
  const bool other = wanted != carried_out_;
  const bool lost = wanted.role == store::Role::kMaster && LeaseIsLost();
  const bool again = state_ == store::BrokerState::kFailed && now >= open_at_ && !lost;
  if (other || again) {
    if (other) failures_ = 0;
    TakeRole(wanted);
  } else if (broker_ != nullptr && lost) {
    log::Warning("nobody renews the lease of epoch {}: nothing is served until somebody does",
                 wanted.epoch.value());
    CloseRole(store::Role::kNone);
    state_ = store::BrokerState::kFailed;
    open_at_ = now;
    page_->Report({state_, wanted.serial});
  } else if (const absl::Status health = Health(); !health.ok()) {
    if (!IsSlave()) {
      if (!std::exchange(failed_, true)) on_failure_();
      return;  // no more beats: the replicator lets another member take over
    }
    log::Warning("the view is opened anew: {}", FromAbsl(health.message()));
    CloseRole(store::Role::kNone);
    state_ = store::BrokerState::kFailed;
    open_at_ = now;
    return;
  }
  if (IsSlave()) {
    not_master_->SetMaster(broker_->master());
    if (registered_ != page_->member()) {
      if (const absl::Status said = RegisterSlave(); !said.ok()) {
        log::Error("name services are not told what this member is: {}", FromAbsl(said.message()));
      }
    }
  }
  if (now < beat_at_) return;
  beat_at_ = now + kBeatInterval;
  if (state_ != store::BrokerState::kFailed) page_->Beat();
}

void RoleSwitch::TakeRole(const store::Wanted& wanted) {
  CloseRole(wanted.role);
  carried_out_ = wanted;
  const absl::Status opened = OpenRole(wanted);
  if (opened.ok()) {
    failures_ = 0;
  } else {
    CloseRole(store::Role::kNone);
    state_ = store::BrokerState::kFailed;
    milliseconds wait = kRetryFirst;
    // A slave that has no log yet waits for its master.
    if (!absl::IsNotFound(opened)) {
      wait = RetryInterval(++failures_);
      log::Error("the role cannot be taken (attempt {}), the next attempt is in {} ms: {}",
                 failures_, wait.count(), opened.ToString());
    }
    open_at_ = clock_.Now() + wait;
  }
  page_->Report({state_, wanted.serial});
}

bool RoleSwitch::LeaseIsLost() const { return BootTime() - kLeaseGrace >= page_->lease_until(); }

absl::Status RoleSwitch::Health() const {
  if (broker_ == nullptr || page_->wanted() != carried_out_) return absl::OkStatus();
  RETURN_IF_ERROR(broker_->health());
  return IsSlave() ? broker_->Follow() : absl::OkStatus();
}

absl::Status RoleSwitch::OpenRole(const store::Wanted& wanted) {
  const BusyBeat busy(*page_);
  switch (wanted.role) {
    case store::Role::kNone:
      state_ = store::BrokerState::kStopped;
      break;
    case store::Role::kSlave:
      RETURN_IF_ERROR(OpenSlave());
      state_ = store::BrokerState::kSlave;
      break;
    case store::Role::kMaster:
      RETURN_IF_ERROR(OpenMaster(wanted));
      state_ = store::BrokerState::kMaster;
      log::Info("master of broker group {}, epoch {}", config_.broker().broker_name(),
                wanted.epoch.value());
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status RoleSwitch::OpenMaster(const store::Wanted& wanted) {
  Broker::Mastership mastership;
  mastership.epoch = wanted.epoch;
  mastership.may_send = [this] { return MaySend(); };
  mastership.still_wanted = [this, wanted] {
    page_->Beat();  // for as long as it waits for the group
    return page_->wanted() == wanted;
  };
  ASSIGN_OR_RETURN(broker_, Broker::Start(config_, files_, clock_, {}, std::move(mastership)));
  broker_->ShowIn(broker_metrics_);
  RETURN_IF_ERROR(Serve({broker_->services(), nullptr}));
  not_master_.reset();
  Broker::Standing standing;
  standing.registrar = std::move(registrar_);
  RETURN_IF_ERROR(Register(std::move(standing)));
  server_->SetServing(true);
  return absl::OkStatus();
}

absl::Status RoleSwitch::OpenSlave() {
  ASSIGN_OR_RETURN(broker_, Broker::StartSlave(config_, files_, clock_));
  broker_->ShowIn(broker_metrics_);
  RETURN_IF_ERROR(ServeOnly(
      broker_->services(),
      fmt::format(
          "this member of broker group {} is a slave, which serves reads alone (PullMessage, "
          "Subscribe in offset mode, queries); ask for the route again, and go to the master",
          config_.broker().broker_name())));
  RETURN_IF_ERROR(RegisterSlave());
  // What a slave is for it does: reads.
  server_->SetServing(true);
  return absl::OkStatus();
}

absl::Status RoleSwitch::RegisterSlave() {
  registered_ = page_->member();
  if (config_.broker().name_services().empty()) return absl::OkStatus();
  absl::StatusOr<Broker::Standing> standing = StandingOf(config_.replication(), *registered_);
  if (absl::IsUnavailable(standing.status())) return absl::OkStatus();  // the record will say
  RETURN_IF_ERROR(standing.status());
  standing->registrar = broker_->ReleaseRegistrar();
  return Register(*std::move(standing));
}

absl::Status RoleSwitch::Register(Broker::Standing standing) {
  if (const auto replicator = ParseHostPort(config_.replication().listen_address())) {
    standing.replicator_port = static_cast<uint32_t>(replicator->port);
  }
  const HostPort advertised = AdvertisedAddress(config_.server(), port_);
  broker_->SetAdvertisedAddress(advertised.host, advertised.port);
  const auto& name_services = config_.broker().name_services();
  RETURN_IF_ERROR(
      broker_->Register({name_services.begin(), name_services.end()}, std::move(standing)));
  registration_metrics_->Set(broker_->registration_metrics());
  return absl::OkStatus();
}

void RoleSwitch::CloseRole(store::Role next) {
  if (broker_ != nullptr) {
    const BusyBeat busy(*page_);
    const bool slave = IsSlave();
    registration_metrics_->Set(nullptr);
    if (slave && next == store::Role::kMaster) registrar_ = broker_->ReleaseRegistrar();
    if (!slave) log::Info("master of epoch {} no more", carried_out_.epoch.value());
    broker_->Drain();
    if (others_ != nullptr) others_->CancelPolls();
    if (server_ != nullptr) server_->Stop(kGrace);
    server_.reset();
    // What a master has not confirmed is not saved: another member decides over it.
    if (const absl::Status stopped = broker_->Stop(); !stopped.ok()) {
      log::Warning("the rooms of the {} have closed: {}", slave ? "slave" : "master",
                   FromAbsl(stopped.message()));
    }
    broker_.reset();
    if (const absl::Status served = ServeRefusals(); !served.ok()) {
      log::Error("the port cannot be served: {}", served.ToString());
    }
  }
  if (next != store::Role::kMaster) registrar_.reset();
  state_ = store::BrokerState::kStopped;
}

absl::Status RoleSwitch::Serve(const GrpcServices& services) {
  if (server_ != nullptr) server_->Stop(milliseconds(0));
  server_.reset();
  ASSIGN_OR_RETURN(server_, GrpcServer::Start(server_config_, config_.data_dir(), services));
  // The same port from now on, also where any was asked for.
  server_config_.set_listen_address(Listening(server_config_.listen_address(), server_->port()));
  MutexLock lock(counter_->mutex);
  counter_->now = server_->connection_counter();
  return absl::OkStatus();
}

absl::Status RoleSwitch::ServeOnly(const std::vector<grpc::Service*>& services,
                                   const std::string& why) {
  // A generic service can be registered with one server only.
  auto refusals = std::make_unique<NotMasterService>(why, others_.get());
  RETURN_IF_ERROR(Serve({services, refusals.get()}));
  not_master_ = std::move(refusals);
  return absl::OkStatus();
}

absl::Status RoleSwitch::ServeRefusals() {
  return ServeOnly({}, fmt::format("this member of broker group {} is not its master; ask for the "
                                   "route again",
                                   config_.broker().broker_name()));
}

absl::Status RoleSwitch::MaySend() const {
  switch (page_->sends()) {
    case store::Sends::kAccepted:
      if (BootTime() < page_->lease_until()) return absl::OkStatus();
      break;
    case store::Sends::kTooFewInSync:
      return PublicError(PublicCode::kHaNotAvailable,
                         "too few members of the broker group are in sync; try again later");
    case store::Sends::kSwitchover:
      return PublicError(PublicCode::kHaNotAvailable,
                         "another member of the broker group takes over; ask for the route again");
    case store::Sends::kNobodySaid:
      break;
  }
  return PublicError(PublicCode::kHaNotAvailable,
                     "this member is not sure to be the master of its broker group any more; ask "
                     "for the route again");
}

}  // namespace dunlin::broker
