#include "services/broker/broker.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/admin/admin.h"
#include "services/broker/admin/transaction_admin.h"
#include "services/broker/admission/intake.h"
#include "services/broker/clients/producer_sessions.h"
#include "services/broker/clients/subscription_table.h"
#include "services/broker/delivery/housekeeper.h"
#include "services/broker/delivery/lite_delivery.h"
#include "services/broker/expiry/compactor.h"
#include "services/broker/expiry/topic_expiry.h"
#include "services/broker/filter/filter_cache.h"
#include "services/broker/lite/lite_subscriptions.h"
#include "services/broker/lite/lite_table.h"
#include "services/broker/producers/producer_table.h"
#include "services/broker/registration/cluster_routes.h"
#include "services/broker/registration/registrar.h"
#include "services/broker/registration/registration_metrics.h"
#include "services/broker/rpc/admin_service.h"
#include "services/broker/rpc/command_streams.h"
#include "services/broker/rpc/endpoints.h"
#include "services/broker/rpc/messaging_service.h"
#include "services/broker/rpc/orphan_link.h"
#include "services/broker/rpc/route_service.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/rpc/stream_service.h"
#include "services/broker/rpc/topic_route.h"
#include "services/broker/timers/due_messages.h"
#include "services/broker/trace/message_trace.h"
#include "services/broker/transactions/check_policy.h"
#include "services/broker/transactions/checker.h"
#include "services/broker/transactions/lookup.h"

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

std::vector<WaitingRoom::Place> PlacesOf(const std::vector<LitePlace>& lite) {
  std::vector<WaitingRoom::Place> places;
  places.reserve(lite.size());
  for (const LitePlace& place : lite) places.push_back({place.parent, place.group, place.client});
  return places;
}

}  // namespace

// Declared in the order of levels, so that destruction runs in reverse.
class Broker::Rooms {
 public:
  absl::Status Open(const config::v1::DunlinConfig& config, FileSystem& files, const Clock& clock,
                    const std::function<void()>& on_failure);
  // What is served, once the rooms are there.
  void MakeServices(const config::v1::DunlinConfig& config, const Clock& clock);
  // Which topics, lightweight topics and groups there are.
  absl::Status OpenTables(const config::v1::BrokerConfig& config, const Clock& clock);
  void StartHousekeeper(const Clock& clock, const std::function<void()>& on_failure);
  absl::Status Health() const;
  absl::Status Stop();

  std::unique_ptr<store::StateStore> state;
  std::unique_ptr<store::CommitLog> log;
  std::unique_ptr<store::Dispatcher> dispatcher;
  std::unique_ptr<store::Retention> retention;
  std::unique_ptr<TopicTable> topics;
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
  std::unique_ptr<Housekeeper> housekeeper;
  std::unique_ptr<DueMessages> due_messages;
  std::unique_ptr<TopicExpiry> expiry;
  std::unique_ptr<Compactor> compactor;
  CommandStreams command_streams;
  std::unique_ptr<ClusterRoutes> cluster;
  std::optional<ServiceContext> context;
  std::optional<OrphanLink> orphan_link;
  std::unique_ptr<TransactionChecker> checker;
  std::unique_ptr<MessagingServiceImpl> messaging;
  std::unique_ptr<StreamServiceImpl> streams;
  std::unique_ptr<BrokerRoutes> route_source;
  std::unique_ptr<RouteServiceImpl> routes;
  std::unique_ptr<Admin> admin;
  std::unique_ptr<TransactionAdmin> transaction_admin;
  std::unique_ptr<AdminServiceImpl> admin_service;
  std::unique_ptr<Registrar> registrar;
  bool stopped = false;
};

absl::Status Broker::Rooms::Health() const {
  RETURN_IF_ERROR(log->health());
  return dispatcher->health();
}

absl::Status Broker::Rooms::Open(const config::v1::DunlinConfig& config, FileSystem& files,
                                 const Clock& clock, const std::function<void()>& on_failure) {
  store::CommitLogOptions log_options = LogOptions(config);
  // The lock on the directory is the log's: the state is opened once it is held, before the log
  // looks for its end, since the checkpoint says from where on.
  absl::Status state_opened;
  log_options.known_flushed = [&] {
    absl::StatusOr<std::unique_ptr<store::StateStore>> opened =
        store::StateStore::Open(log_options.directory + "/state");
    state_opened = opened.status();
    if (!opened.ok()) return LogOffset(0);
    state = *std::move(opened);
    return LogOffset(state->GetCheckpoint().flushed());
  };
  ASSIGN_OR_RETURN(log, store::CommitLog::Open(log_options, files, clock));
  RETURN_IF_ERROR(state_opened);
  store::DispatcherOptions dispatcher_options;
  dispatcher_options.checkpoint_interval = milliseconds(config.store().checkpoint_interval_ms());
  ASSIGN_OR_RETURN(dispatcher, store::Dispatcher::Start(dispatcher_options, *log, *state));
  retention = store::Retention::Start(RetentionOptionsOf(config.store().retention()), *log,
                                      *dispatcher, files, log_options.directory, clock);
  RETURN_IF_ERROR(OpenTables(config.broker(), clock));

  ProgressOptions progress_options;
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
  intake = std::make_unique<Intake>(intake_limits, clock);
  trace = std::make_unique<MessageTrace>(config.broker().max_trace_events(), clock);
  executor = std::make_unique<Executor>("executor", kExecutorCapacity);
  dead_letters = std::make_unique<DeadLetters>(*topics, *log, *progress, *trace, *executor);
  taker = std::make_unique<Taker>(*log, *dispatcher, *progress, *dead_letters);
  lite = std::make_unique<LiteDelivery>(LiteDelivery::Rooms{
      *log, *dispatcher, *topics, *progress, *taker, *lite_table, *lite_subscriptions, clock});
  lookup = std::make_unique<TransactionLookup>(*log, *dispatcher, kLookupCapacity);
  WaitingRoom::Options waiting_options;
  waiting_options.max_waiters = config.broker().max_waiting_polls();
  waiting_options.more = [this] { return PlacesOf(lite->TakeTold()); };
  waiting_options.has_more = [this] { return lite->HasTold(); };
  waiting_room = std::make_unique<WaitingRoom>(waiting_options, *dispatcher, *progress, clock);
  StartHousekeeper(clock, on_failure);

  due_messages = std::make_unique<DueMessages>(*log, dispatcher->timers(), *topics, clock);
  due_messages->Start();
  expiry = std::make_unique<TopicExpiry>(
      TopicExpiry::Rooms{*dispatcher, *state, *topics, *progress, clock});
  expiry->Start();
  compactor = std::make_unique<Compactor>(*log, *dispatcher, *topics);
  compactor->Start();

  MakeServices(config, clock);
  return absl::OkStatus();
}

void Broker::Rooms::MakeServices(const config::v1::DunlinConfig& config, const Clock& clock) {
  if (config.broker().name_services_size() > 0) {
    cluster = std::make_unique<ClusterRoutes>(std::vector<std::string>(
        config.broker().name_services().begin(), config.broker().name_services().end()));
  }
  context.emplace(ServiceContext{config.broker(), clock,         *log,
                                 *state,          *dispatcher,   *retention,
                                 *topics,         *progress,     *dead_letters,
                                 *taker,          *waiting_room, *clients,
                                 *subscriptions,  *producers,    producer_sessions,
                                 filters,         *intake,       *trace,
                                 *executor,       *lite,         *lookup,
                                 command_streams, "localhost",   0,
                                 cluster.get()});
  orphan_link.emplace(*context);
  checker =
      std::make_unique<TransactionChecker>(*log, dispatcher->transactions(), *topics, *orphan_link,
                                           clock, CheckPolicyOf(config.broker().transactions()));
  checker->Start();
  messaging = std::make_unique<MessagingServiceImpl>(*context);
  streams = std::make_unique<StreamServiceImpl>(*context);
  route_source = std::make_unique<BrokerRoutes>(*context);
  routes = std::make_unique<RouteServiceImpl>(*route_source);
  admin = std::make_unique<Admin>(AdminRooms{
      config.broker(), clock, *log, *state, *dispatcher, *retention, *topics, *progress, *taker,
      *waiting_room, *clients, *subscriptions, *intake, *trace, *lite, clock.Now()});
  transaction_admin = std::make_unique<TransactionAdmin>(
      TransactionAdminRooms{*log, *dispatcher, *topics, *taker, *lookup, clock});
  admin_service = std::make_unique<AdminServiceImpl>(*admin, *transaction_admin, *executor);
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
                                                      std::function<void()> on_failure) {
  for (int attempt = 0;; ++attempt) {
    auto rooms = std::make_unique<Rooms>();
    const absl::Status opened = rooms->Open(config, files, clock, on_failure);
    auto broker = std::unique_ptr<Broker>(new Broker(std::move(rooms)));
    if (opened.ok()) return broker;
    if (!absl::IsDataLoss(opened) || attempt > 0) return opened;
    // Damage in the view marks itself: the second try rebuilds it from the log.
    log::Warning("trying once more: {}", opened.ToString());
  }
}

std::vector<grpc::Service*> Broker::services() const {
  return {rooms_->messaging.get(), rooms_->streams.get(), rooms_->routes.get(),
          rooms_->admin_service.get()};
}

void Broker::SetAdvertisedAddress(const std::string& host, int port) {
  rooms_->context->advertised_host = host;
  rooms_->context->advertised_port = port;
}

absl::Status Broker::Register(const std::vector<std::string>& name_services) {
  if (name_services.empty()) return absl::OkStatus();
  const ServiceContext& context = *rooms_->context;
  Registrar::Options options;
  options.name_services = name_services;
  nameservice::v1::Hello& hello = options.hello;
  hello.mutable_identity()->set_broker_group(context.config.broker_name());
  hello.mutable_identity()->set_member(context.config.member_name().empty()
                                           ? context.config.broker_name()
                                           : context.config.member_name());
  hello.mutable_identity()->set_incarnation(
      static_cast<uint64_t>(ToUnixMillis(context.clock.Now())));
  hello.set_cluster(context.config.cluster_name());
  hello.set_id(0);
  hello.set_role(nameservice::v1::MASTER);
  hello.set_epoch(context.log.epoch().value());
  *hello.mutable_endpoints() = EndpointsOf(context.advertised_host, context.advertised_port);
  hello.set_zone(context.config.zone());
  hello.set_acting_master_allowed(true);
  ASSIGN_OR_RETURN(rooms_->registrar, Registrar::Start(options, *rooms_->topics, context.clock));
  return absl::OkStatus();
}

std::shared_ptr<prometheus::Collectable> Broker::registration_metrics() const {
  if (rooms_->registrar == nullptr) return nullptr;
  return std::make_shared<RegistrationMetrics>(rooms_->registrar->counts());
}

void Broker::Drain() {
  if (rooms_->registrar != nullptr) rooms_->registrar->Stop();
  rooms_->routes->Stop();
  rooms_->streams->Stop();
  rooms_->waiting_room->Stop();
}

absl::Status Broker::Stop() { return rooms_->Stop(); }

}  // namespace dunlin::broker
