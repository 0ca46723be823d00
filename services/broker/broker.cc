#include "services/broker/broker.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/access/access_control.h"
#include "services/broker/access/open_access.h"
#include "services/broker/access/user_table.h"
#include "services/broker/admin/admin.h"
#include "services/broker/admin/broker_metrics.h"
#include "services/broker/admin/transaction_admin.h"
#include "services/broker/admin/user_admin.h"
#include "services/broker/admission/intake.h"
#include "services/broker/clients/producer_sessions.h"
#include "services/broker/clients/subscription_table.h"
#include "services/broker/delivery/cold_reads.h"
#include "services/broker/delivery/housekeeper.h"
#include "services/broker/delivery/lite_delivery.h"
#include "services/broker/expiry/compactor.h"
#include "services/broker/expiry/topic_expiry.h"
#include "services/broker/filter/filter_cache.h"
#include "services/broker/lite/lite_subscriptions.h"
#include "services/broker/lite/lite_table.h"
#include "services/broker/producers/producer_table.h"
#include "services/broker/registration/external_address.h"
#include "services/broker/registration/name_service_ports.h"
#include "services/broker/registration/registration_metrics.h"
#include "services/broker/rpc/admin_service.h"
#include "services/broker/rpc/command_streams.h"
#include "services/broker/rpc/endpoints.h"
#include "services/broker/rpc/messaging_service.h"
#include "services/broker/rpc/orphan_link.h"
#include "services/broker/rpc/other_brokers.h"
#include "services/broker/rpc/partly.h"
#include "services/broker/rpc/route_service.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/rpc/stream_service.h"
#include "services/broker/rpc/topic_route.h"
#include "services/broker/timers/due_messages.h"
#include "services/broker/trace/message_trace.h"
#include "services/broker/transactions/check_policy.h"
#include "services/broker/transactions/checker.h"
#include "services/broker/transactions/lookup.h"
#include "services/broker/wire/broker_mark.h"
#include "services/runtime/host_port.h"
#include "services/runtime/peer_credentials.h"
#include "services/store/log/log_follower.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Changes of topics and groups and dead letters that may wait for the log at a time.
constexpr size_t kExecutorCapacity = 10'000;
// Ends of transactions that may wait for the index at a time.
constexpr size_t kLookupCapacity = 10'000;
// Lightweight topics stay for as long after a start at least.
constexpr seconds kMinLiteGrace{60};

store::CommitLogOptions LogOptions(const config::v1::DunlinConfig& config) {
  store::CommitLogOptions options;
  options.directory = config.data_dir() + "/store";
  options.flush_mode = config.store().flush_mode() == config::v1::StoreConfig::SYNC_FLUSH
                           ? store::FlushMode::kSync
                           : store::FlushMode::kAsync;
  options.segment_size_bytes = config.store().segment_size_bytes();
  options.flush_interval = milliseconds(config.store().flush_interval_ms());
  return options;
}

store::RetentionOptions RetentionOptionsOf(const config::v1::RetentionConfig& config) {
  store::RetentionOptions options;
  options.max_age = config.time_hours() == 0 ? milliseconds::max() : hours(config.time_hours());
  options.max_bytes = config.max_bytes();
  options.disk_high_percent = config.disk_high_watermark_percent();
  options.disk_full_percent = config.disk_full_percent();
  return options;
}

// The tables are built from what is confirmed, and the numbers they give out go on from there: so
// all that the log holds has to be. A broker that crashed as master may find more in it.
absl::Status AwaitConfirmed(store::CommitLog& log, const Broker::Mastership& mastership) {
  const LogOffset end = log.end();
  for (LogOffset seen = log.confirmed().Get(); seen < end;) {
    RETURN_IF_ERROR(log.health());
    if (!mastership.still_wanted()) return absl::UnavailableError("no longer to be the master");
    seen = log.confirmed().WaitAbove(seen, milliseconds(50));
  }
  return absl::OkStatus();
}

std::vector<WaitingRoom::Place> PlacesOf(const std::vector<LitePlace>& lite) {
  std::vector<WaitingRoom::Place> places;
  places.reserve(lite.size());
  for (const LitePlace& place : lite) places.push_back({place.parent, place.group, place.client});
  return places;
}

// What a slave serves; the rest is refused, with the way to the master.
constexpr std::array<std::string_view, 5> kMessagingReads = {
    "QueryRoute", "QueryAssignment", "PullMessage", "GetOffset", "QueryOffset"};
constexpr std::array<std::string_view, 1> kStreamReads = {"Subscribe"};
constexpr std::array<std::string_view, 10> kAdminReads = {
    "GetTopic",        "ListTopics",     "GetGroup",  "ListGroups", "GetMessages",
    "ListDeadLetters", "GetDeadLetters", "GetBroker", "GetUser",    "ListUsers"};

// Of a slave: segments go when its replicator drops them, and nothing is appended.
class NoRetention final : public store::Retention {
 public:
  absl::Status Step() override { return absl::OkStatus(); }
  bool DiskIsFull() const override { return false; }
  void Stop() override {}
};

}  // namespace

// Declared in the order of levels, so that destruction runs in reverse.
class Broker::Rooms {
 public:
  absl::Status Open(const config::v1::DunlinConfig& config, FileSystem& files, const Clock& clock,
                    const std::function<void()>& on_failure);
  absl::Status OpenLog(const config::v1::DunlinConfig& config, FileSystem& files,
                       const Clock& clock);
  absl::Status FollowLog(const config::v1::DunlinConfig& config, FileSystem& files,
                         const Clock& clock);
  // Those that change what the log says, by themselves.
  void StartDeciding(const Clock& clock, const std::function<void()>& on_failure);
  // What is served, once the rooms are there.
  void MakeServices(const config::v1::DunlinConfig& config, const Clock& clock);
  void MakeReadingServices();
  AdminServiceImpl::Rooms AdminRoomsOfService() {
    return {*admin, *transaction_admin, *user_admin, access, *executor};
  }
  // Which topics, lightweight topics and groups there are.
  absl::Status OpenTables(const config::v1::BrokerConfig& config, const Clock& clock);
  void StartHousekeeper(const Clock& clock, const std::function<void()>& on_failure);
  absl::Status Health() const;
  absl::Status Stop();

  bool slave = false;
  std::optional<Mastership> mastership;
  std::string member;  // of the broker group; empty for a broker alone
  config::v1::BrokerConfig settings_of_slave;
  const config::v1::BrokerConfig* settings = nullptr;  // those in force for what is open
  std::unique_ptr<store::StateStore> state;
  std::unique_ptr<store::CommitLog> log;
  std::unique_ptr<store::Dispatcher> dispatcher;
  std::unique_ptr<store::Retention> retention;
  std::shared_ptr<TopicTable> topics;  // a registration may outlive the rooms
  std::unique_ptr<UserTable> users;
  AccessControl access;
  std::unique_ptr<LiteTable> lite_table;
  std::unique_ptr<LiteSubscriptions> lite_subscriptions;
  std::unique_ptr<Progress> progress;
  std::unique_ptr<ClientRegistry> clients;
  std::unique_ptr<SubscriptionTable> subscriptions;
  std::unique_ptr<ProducerTable> producers;
  ProducerSessions producer_sessions;
  FilterCache filters;
  std::unique_ptr<Intake> intake;
  std::unique_ptr<MessageTrace> trace;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<DeadLetters> dead_letters;
  std::unique_ptr<Taker> taker;
  std::unique_ptr<LiteDelivery> lite;
  std::unique_ptr<TransactionLookup> lookup;
  std::unique_ptr<WaitingRoom> waiting_room;
  std::optional<ColdReads> cold_reads;
  std::unique_ptr<Housekeeper> housekeeper;
  std::unique_ptr<DueMessages> due_messages;
  std::unique_ptr<TopicExpiry> expiry;
  std::unique_ptr<Compactor> compactor;
  CommandStreams command_streams;
  std::shared_ptr<grpc::ChannelCredentials> peer_credentials;
  std::shared_ptr<ExternalAddress> external_address;  // a registration may outlive the rooms
  std::unique_ptr<OtherBrokers> others;
  std::optional<ServiceContext> context;
  std::optional<OrphanLink> orphan_link;
  std::unique_ptr<TransactionChecker> checker;
  std::unique_ptr<MessagingServiceImpl> messaging;
  std::unique_ptr<StreamServiceImpl> streams;
  std::unique_ptr<BrokerRoutes> route_source;
  std::unique_ptr<RouteServiceImpl> routes;
  std::unique_ptr<Admin> admin;
  std::unique_ptr<TransactionAdmin> transaction_admin;
  std::unique_ptr<UserAdmin> user_admin;
  std::unique_ptr<AdminServiceImpl> admin_service;
  Registrar::Role standing;
  std::unique_ptr<Registrar> registrar;
  std::shared_ptr<BrokerMetrics> metrics;
  bool stopped = false;
};

absl::Status Broker::Rooms::Health() const {
  RETURN_IF_ERROR(log->health());
  return dispatcher->health();
}

absl::Status Broker::Rooms::OpenLog(const config::v1::DunlinConfig& config, FileSystem& files,
                                    const Clock& clock) {
  store::CommitLogOptions options = LogOptions(config);
  // The lock on the directory is the log's: the state is opened once it is held, before the log
  // looks for its end, since the checkpoint says from where on.
  absl::Status state_opened;
  options.known_flushed = [&] {
    absl::StatusOr<std::unique_ptr<store::StateStore>> opened =
        store::StateStore::Open(options.directory + "/state");
    state_opened = opened.status();
    if (!opened.ok()) return LogOffset(0);
    state = *std::move(opened);
    return LogOffset(state->GetCheckpoint().flushed());
  };
  if (mastership.has_value()) {
    options.epoch = mastership->epoch;
    options.replicated = true;
  }
  ASSIGN_OR_RETURN(log, store::CommitLog::Open(options, files, clock));
  RETURN_IF_ERROR(state_opened);
  return mastership.has_value() ? AwaitConfirmed(*log, *mastership) : absl::OkStatus();
}

absl::Status Broker::Rooms::FollowLog(const config::v1::DunlinConfig& config, FileSystem& files,
                                      const Clock& clock) {
  const std::string directory = config.data_dir() + "/store";
  ASSIGN_OR_RETURN(state, store::StateStore::Open(directory + "/state"));
  const storage::v1::Checkpoint checkpoint = state->GetCheckpoint();
  store::LogFollowerOptions options;
  options.directory = directory;
  options.viewed = LogOffset(checkpoint.dispatched());
  options.viewed_epoch = Epoch(checkpoint.epoch());
  ASSIGN_OR_RETURN(log, store::OpenLogFollower(options, files, clock));
  // Who reads makes nothing.
  settings_of_slave = config.broker();
  settings_of_slave.set_auto_create_topics(false);
  settings_of_slave.set_auto_create_groups(false);
  settings = &settings_of_slave;
  return absl::OkStatus();
}

absl::Status Broker::Rooms::Open(const config::v1::DunlinConfig& config, FileSystem& files,
                                 const Clock& clock, const std::function<void()>& on_failure) {
  settings = &config.broker();
  ASSIGN_OR_RETURN(peer_credentials, PeerCredentials(config.peer_tls(), files));
  external_address = std::make_shared<ExternalAddress>(config.broker(), files);
  RETURN_IF_ERROR(slave ? FollowLog(config, files, clock) : OpenLog(config, files, clock));
  store::DispatcherOptions dispatcher_options;
  dispatcher_options.checkpoint_interval = milliseconds(config.store().checkpoint_interval_ms());
  dispatcher_options.tell_config = slave;
  ASSIGN_OR_RETURN(dispatcher, store::Dispatcher::Start(dispatcher_options, *log, *state));
  if (slave) {
    retention = std::make_unique<NoRetention>();
  } else {
    retention = store::Retention::Start(RetentionOptionsOf(config.store().retention()), *log,
                                        *dispatcher, files, config.data_dir() + "/store", clock);
  }
  RETURN_IF_ERROR(OpenTables(*settings, clock));
  // They are kept also while nobody is held to them.
  ASSIGN_OR_RETURN(users, UserTable::Load(*log, *state, clock, config.access().max_users()));
  ASSIGN_OR_RETURN(access, OpenAccess(config.access(), files, *users));

  ProgressOptions progress_options;
  progress_options.follows = slave;
  progress_options.max_in_flight = config.broker().max_in_flight_per_queue();
  progress_options.retry_delay = [this](GroupId id, uint32_t attempt) {
    const std::shared_ptr<const Group> group = topics->FindGroup(id);
    return group == nullptr ? milliseconds(0) : group->RetryDelay(attempt);
  };
  // Whoever waits for them is looked for by the thread that follows the dispatcher.
  progress_options.on_unlocked = [this] { dispatcher->dispatched().Interrupt(); };
  progress = std::make_unique<Progress>(progress_options, *state, clock);
  ClientRegistryOptions client_options;
  client_options.expiry = seconds(config.broker().client_expiry_seconds());
  clients = std::make_unique<ClientRegistry>(client_options, clock);
  subscriptions = std::make_unique<SubscriptionTable>(*clients);
  producers = std::make_unique<ProducerTable>(*log, *dispatcher, *state);
  const Intake::Limits intake_limits{.calls = config.broker().max_pending_calls(),
                                     .bytes = config.broker().max_pending_bytes()};
  intake = std::make_unique<Intake>(intake_limits, clock,
                                    mastership.has_value() ? mastership->may_send : Intake::Gate());
  trace = std::make_unique<MessageTrace>(config.broker().max_trace_events(), clock);
  executor = std::make_unique<Executor>("executor", kExecutorCapacity);
  dead_letters = std::make_unique<DeadLetters>(*topics, *dispatcher, *progress, *trace, *executor);
  taker = std::make_unique<Taker>(*log, *dispatcher, *progress, *dead_letters);
  lite = std::make_unique<LiteDelivery>(LiteDelivery::Rooms{
      *log, *dispatcher, *topics, *progress, *taker, *lite_table, *lite_subscriptions, clock});
  lookup = std::make_unique<TransactionLookup>(*log, *dispatcher, kLookupCapacity);
  WaitingRoom::Options waiting_options;
  waiting_options.max_waiters = config.broker().max_waiting_polls();
  waiting_options.more = [this] { return PlacesOf(lite->TakeTold()); };
  waiting_options.has_more = [this] { return lite->HasTold(); };
  waiting_room = std::make_unique<WaitingRoom>(waiting_options, *dispatcher, *progress, clock);
  const auto master = mastership.has_value() ? ColdReads::Role::kMaster : ColdReads::Role::kAlone;
  cold_reads.emplace(config.broker(), slave ? ColdReads::Role::kSlave : master);
  if (!slave) StartDeciding(clock, on_failure);
  MakeServices(config, clock);
  return absl::OkStatus();
}

void Broker::Rooms::StartDeciding(const Clock& clock, const std::function<void()>& on_failure) {
  StartHousekeeper(clock, on_failure);
  due_messages = std::make_unique<DueMessages>(*log, dispatcher->timers(), *topics, clock);
  due_messages->Start();
  expiry = std::make_unique<TopicExpiry>(
      TopicExpiry::Rooms{*dispatcher, *state, *topics, *progress, clock});
  expiry->Start();
  compactor = std::make_unique<Compactor>(*log, *dispatcher, *topics);
  compactor->Start();
}

void Broker::Rooms::MakeServices(const config::v1::DunlinConfig& config, const Clock& clock) {
  if (config.broker().name_services_size() > 0) {
    others = std::make_unique<OtherBrokers>(
        OtherBrokers::Options{.group = config.broker().broker_name(),
                              .is_master = !slave,
                              .name_services = {config.broker().name_services().begin(),
                                                config.broker().name_services().end()},
                              .credentials = peer_credentials});
  }
  const std::vector<int32_t> ports = NameServicePorts(config);
  const BrokerMark mark = MarkOf(config.broker().broker_name());
  context.emplace(ServiceContext{*settings,
                                 clock,
                                 *log,
                                 *state,
                                 *dispatcher,
                                 *retention,
                                 *topics,
                                 *progress,
                                 *dead_letters,
                                 *taker,
                                 *waiting_room,
                                 *clients,
                                 *subscriptions,
                                 *producers,
                                 producer_sessions,
                                 filters,
                                 *intake,
                                 *trace,
                                 *executor,
                                 *lite,
                                 *lookup,
                                 command_streams,
                                 *cold_reads,
                                 access,
                                 "localhost",
                                 0,
                                 ports,
                                 *external_address,
                                 others.get(),
                                 slave,
                                 mark});
  orphan_link.emplace(*context);
  checker =
      std::make_unique<TransactionChecker>(*log, dispatcher->transactions(), *topics, *orphan_link,
                                           clock, CheckPolicyOf(config.broker().transactions()));
  if (!slave) checker->Start();
  route_source = std::make_unique<BrokerRoutes>(*context);
  routes = std::make_unique<RouteServiceImpl>(*route_source);
  admin = std::make_unique<Admin>(AdminRooms{
      *settings, clock, *log, *state, *dispatcher, *retention, *topics, *progress, *taker,
      *waiting_room, *clients, *subscriptions, *intake, *trace, *lite, *cold_reads, clock.Now()});
  transaction_admin = std::make_unique<TransactionAdmin>(
      TransactionAdminRooms{*log, *dispatcher, *topics, *taker, *lookup, clock, mark});
  user_admin = std::make_unique<UserAdmin>(*users, access);
  if (slave) return MakeReadingServices();
  messaging = std::make_unique<MessagingServiceImpl>(*context);
  streams = std::make_unique<StreamServiceImpl>(*context);
  admin_service = std::make_unique<AdminServiceImpl>(AdminRoomsOfService());
}

void Broker::Rooms::MakeReadingServices() {
  const auto find = [](const char* name) -> const google::protobuf::ServiceDescriptor& {
    return *google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
  };
  messaging = std::make_unique<Partly<MessagingServiceImpl>>(
      find(apache::rocketmq::v2::MessagingService::service_full_name()), kMessagingReads, *context);
  streams = std::make_unique<Partly<StreamServiceImpl>>(
      find(v1::StreamService::service_full_name()), kStreamReads, *context);
  admin_service = std::make_unique<Partly<AdminServiceImpl>>(
      find(admin::v1::AdminService::service_full_name()), kAdminReads, AdminRoomsOfService());
}

absl::Status Broker::Rooms::OpenTables(const config::v1::BrokerConfig& config, const Clock& clock) {
  TopicTable::Limits limits;
  limits.topics = config.max_topics();
  limits.groups = config.max_groups();
  ASSIGN_OR_RETURN(topics, TopicTable::Load(*log, *dispatcher, *state, clock, limits));
  // Longer than any client takes to tell its subscriptions again.
  const milliseconds grace = std::max(seconds(config.client_expiry_seconds()), kMinLiteGrace);
  ASSIGN_OR_RETURN(lite_table,
                   LiteTable::Load(*dispatcher, *state, *topics, clock,
                                   {.topics = config.max_lite_topics(), .grace = grace}));
  lite_subscriptions = std::make_unique<LiteSubscriptions>(LiteSubscriptions::Limits{
      .per_client = config.lite_subscription_quota(), .total = config.max_lite_subscriptions()});
  return absl::OkStatus();
}

void Broker::Rooms::StartHousekeeper(const Clock& clock, const std::function<void()>& on_failure) {
  Housekeeper::Hooks hooks;
  hooks.watch = [this, on_failure] {
    if (Health().ok() || !on_failure) return false;
    on_failure();
    return true;
  };
  hooks.step = [this] { lite->Step(); };
  hooks.on_gone = [this](const std::string& client) { lite_subscriptions->DropClient(client); };
  housekeeper = std::make_unique<Housekeeper>(*log, *progress, *clients, clock, std::move(hooks));
}

absl::Status Broker::Rooms::Stop() {
  if (stopped) return absl::OkStatus();
  stopped = true;
  if (metrics != nullptr) metrics->Close();
  if (registrar != nullptr) registrar->Stop();
  if (waiting_room != nullptr) waiting_room->Stop();
  if (lookup != nullptr) lookup->Stop();
  if (executor != nullptr) executor->Stop();
  if (housekeeper != nullptr) housekeeper->Stop();
  if (due_messages != nullptr) due_messages->Stop();
  if (expiry != nullptr) expiry->Stop();
  if (compactor != nullptr) compactor->Stop();
  if (checker != nullptr) checker->Stop();
  if (retention != nullptr) retention->Stop();
  absl::Status status;
  if (dispatcher != nullptr) {
    status.Update(log->FlushUpTo(log->end()));
    status.Update(dispatcher->Stop());
  }
  if (log != nullptr) status.Update(log->Close());
  return status;
}

Broker::Broker(std::unique_ptr<Rooms> rooms) : rooms_(std::move(rooms)) {}

Broker::~Broker() {
  if (const absl::Status status = Stop(); !status.ok()) {
    log::Error("the broker did not stop cleanly: {}", status.ToString());
  }
}

absl::StatusOr<std::unique_ptr<Broker>> Broker::Start(const config::v1::DunlinConfig& config,
                                                      FileSystem& files, const Clock& clock,
                                                      std::function<void()> on_failure,
                                                      std::optional<Mastership> mastership) {
  auto make = [&mastership] {
    auto rooms = std::make_unique<Rooms>();
    rooms->mastership = mastership;
    return rooms;
  };
  return Open(make, config, files, clock, on_failure);
}

absl::StatusOr<std::unique_ptr<Broker>> Broker::StartSlave(const config::v1::DunlinConfig& config,
                                                           FileSystem& files, const Clock& clock) {
  auto make = [] {
    auto rooms = std::make_unique<Rooms>();
    rooms->slave = true;
    return rooms;
  };
  return Open(make, config, files, clock, {});
}

absl::StatusOr<std::unique_ptr<Broker>> Broker::Open(
    const std::function<std::unique_ptr<Rooms>()>& make, const config::v1::DunlinConfig& config,
    FileSystem& files, const Clock& clock, const std::function<void()>& on_failure) {
  for (int attempt = 0;; ++attempt) {
    std::unique_ptr<Rooms> rooms = make();
    rooms->member = config.replication().member();
    const absl::Status opened = rooms->Open(config, files, clock, on_failure);
    auto broker = std::unique_ptr<Broker>(new Broker(std::move(rooms)));
    if (opened.ok()) return broker;
    if (!absl::IsDataLoss(opened) || attempt > 0) return opened;
    // Damage in the view marks itself: the second try rebuilds it from the log.
    log::Warning("trying once more: {}", opened.ToString());
  }
}

absl::Status Broker::Follow() {
  const store::Dispatcher::ChangedConfig changed = rooms_->dispatcher->TakeChangedConfig();
  if (!changed.IsEmpty()) {
    RETURN_IF_ERROR(rooms_->topics->Follow(*rooms_->state, changed));
    if (changed.users || changed.all) {
      RETURN_IF_ERROR(rooms_->users->Follow(*rooms_->state));
    }
    // Who waits for a topic or group that was changed by hand looks at it again.
    for (const TopicId topic : changed.topics) rooms_->waiting_room->Nudge(topic);
    for (const GroupId group : changed.groups) rooms_->waiting_room->NudgeGroup(group);
  }
  if (rooms_->registrar == nullptr) return absl::OkStatus();
  const uint64_t epoch = rooms_->log->epoch().value();
  if (std::exchange(rooms_->standing.epoch, epoch) != epoch) {
    rooms_->registrar->SetRole(rooms_->standing);
  }
  return absl::OkStatus();
}

std::vector<grpc::Service*> Broker::services() const {
  return {rooms_->messaging.get(), rooms_->streams.get(), rooms_->routes.get(),
          rooms_->admin_service.get()};
}

void Broker::SetAdvertisedAddress(const std::string& host, int port) {
  rooms_->context->advertised_host = host;
  rooms_->context->advertised_port = port;
}

absl::Status Broker::Register(const std::vector<std::string>& name_services, Standing standing) {
  if (name_services.empty()) return absl::OkStatus();
  const ServiceContext& context = *rooms_->context;
  rooms_->standing = {standing.role, standing.id, context.log.epoch().value()};
  if (standing.registrar != nullptr) {
    rooms_->registrar = std::move(standing.registrar);
    rooms_->registrar->SetRole(rooms_->standing, rooms_->topics);
    return absl::OkStatus();
  }
  Registrar::Options options;
  options.name_services = name_services;
  options.credentials = rooms_->peer_credentials;
  nameservice::v1::Hello& hello = options.hello;
  hello.mutable_identity()->set_broker_group(context.config.broker_name());
  // A broker alone bears the name of its group.
  hello.mutable_identity()->set_member(rooms_->member.empty() ? context.config.broker_name()
                                                              : rooms_->member);
  hello.mutable_identity()->set_incarnation(
      static_cast<uint64_t>(ToUnixMillis(context.clock.Now())));
  hello.set_cluster(context.config.cluster_name());
  hello.set_id(rooms_->standing.id);
  hello.set_role(rooms_->standing.role);
  hello.set_epoch(rooms_->standing.epoch);
  *hello.mutable_endpoints() = EndpointsOf(context.advertised_host, context.advertised_port);
  hello.set_zone(context.config.zone());
  hello.set_replicator_port(standing.replicator_port);
  hello.set_acting_master_allowed(true);
  options.external_endpoints = [external = rooms_->external_address] {
    const std::optional<HostPort> address = external->Get();
    return address.has_value() ? EndpointsOf(address->host, address->port)
                               : apache::rocketmq::v2::Endpoints();
  };
  ASSIGN_OR_RETURN(rooms_->registrar, Registrar::Start(options, rooms_->topics, context.clock));
  return absl::OkStatus();
}

std::string Broker::master() const {
  return rooms_->registrar == nullptr ? "" : rooms_->registrar->master();
}

std::unique_ptr<Registrar> Broker::ReleaseRegistrar() { return std::move(rooms_->registrar); }

std::shared_ptr<prometheus::Collectable> Broker::registration_metrics() const {
  if (rooms_->registrar == nullptr) return nullptr;
  return std::make_shared<RegistrationMetrics>(
      rooms_->registrar->counts(),
      rooms_->others == nullptr ? nullptr : rooms_->others->routes().counts());
}

void Broker::Drain() {
  if (rooms_->registrar != nullptr) rooms_->registrar->Stop();
  if (rooms_->others != nullptr) rooms_->others->Cancel();
  rooms_->routes->Stop();
  rooms_->streams->Stop();
  rooms_->waiting_room->Stop();
}

void Broker::ShowIn(std::shared_ptr<BrokerMetrics> metrics) {
  rooms_->metrics = std::move(metrics);
  rooms_->metrics->Show(*rooms_->admin, rooms_->slave);
}

absl::Status Broker::health() const { return rooms_->Health(); }

absl::Status Broker::Stop() { return rooms_->Stop(); }

}  // namespace dunlin::broker
