#include "operator/program/operator.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "operator/controller/broker_admin.h"
#include "operator/controller/broker_group_controller.h"
#include "operator/controller/caches.h"
#include "operator/controller/cluster_resource_controller.h"
#include "operator/controller/concern.h"
#include "operator/controller/group_control.h"
#include "operator/controller/keeper.h"
#include "operator/controller/name_service_controller.h"
#include "operator/controller/user_keeper.h"
#include "operator/controller/writer.h"
#include "operator/k8s/client.h"
#include "operator/k8s/conditions.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/event_recorder.h"
#include "operator/k8s/leader_elector.h"
#include "operator/k8s/work_queue.h"
#include "operator/planner/credentials.h"
#include "operator/planner/resource_types.h"
#include "operator/program/counting_transport.h"
#include "operator/program/operator_metrics.h"
#include "operator/program/workers.h"
#include "proto/dunlin/config/v1/operator.pb.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/version.h"

namespace dunlin::op {
namespace {

using std::chrono::milliseconds;

constexpr char kReporter[] = "dunlin.dev/operator";
// What the operator made; everything else of these types is not its business.
constexpr char kManaged[] = "app.kubernetes.io/managed-by=dunlin-operator";
// What StatefulSets make has the labels of their selector alone.
constexpr char kClaims[] =
    "app.kubernetes.io/name=dunlin,app.kubernetes.io/component in (broker,nameservice)";
// A stop waits for what is under way; so long a call may take.
constexpr k8s::ClientOptions kClientOptions{.attempt_timeout = milliseconds(10'000),
                                            .call_timeout = milliseconds(20'000)};
constexpr milliseconds kSyncLook{50};
constexpr std::chrono::seconds kReleasePatience{5};

Defaults DefaultsOf(const config::v1::OperatorConfig& config) {
  const std::string& image = config.reconcile().default_image();
  return {.image = image.empty() ? fmt::format("dunlin:{}", kVersion) : image};
}

k8s::LeaderElectorOptions ElectionOf(const config::v1::LeaderElectionConfig& config,
                                     const k8s::ApiServer& server, const std::string& identity) {
  k8s::LeaderElectorOptions options;
  options.lease = {
      config.lease_namespace().empty() ? server.default_namespace : config.lease_namespace(),
      config.lease()};
  options.identity = identity;
  options.lease_duration = milliseconds(config.lease_duration_ms());
  options.renew_deadline = milliseconds(config.renew_deadline_ms());
  options.retry_period = milliseconds(config.retry_period_ms());
  options.on_lost = [] {
    log::Critical("leadership is lost; the process ends, and starts anew");
    log::Flush();
    std::_Exit(1);
  };
  options.on_other = [](std::string_view identity_of_other) {
    log::Info("{} leads", identity_of_other);
  };
  return options;
}

// What works on one kind of resources.
struct Lane {
  Lane(const std::string& kind, const Clock& clock, prometheus::Registry& registry,
       Workers::Work work)
      : queue(clock), metrics(registry, kind), workers(kind, queue, metrics, std::move(work)) {}

  k8s::WorkQueue queue;
  ReconcileMetrics metrics;
  Workers workers;
};

// Of a kind that brokers keep.
struct KeptLane {
  KeptLane(ClusterResourceController::Surroundings surroundings, prometheus::Registry& registry)
      : type(surroundings.keeper.Type()),
        controller(surroundings),
        lane(type.kind, surroundings.clock, registry,
             [this](const k8s::ObjectKey& key) { return controller.Reconcile(key); }) {}

  const k8s::ResourceType type;
  ClusterResourceController controller;
  Lane lane;
};

std::string_view PhaseOf(const k8s::Json& resource) {
  const std::string_view phase = k8s::StringAt(resource, {"status", "phase"});
  if (!phase.empty()) return phase;
  const k8s::Json* const conditions = k8s::Find(resource, {"status", "conditions"});
  for (const std::string_view type : {"Ready", "Stalled", "Reconciling"}) {
    if (conditions != nullptr && k8s::IsConditionTrue(*conditions, type)) return type;
  }
  return "Unknown";
}

}  // namespace

// Declared in the order in which they use each other, so that destruction runs in reverse.
class Operator::Rooms {
 public:
  Rooms(const config::v1::OperatorConfig& config, Options options, prometheus::Registry& registry,
        const Clock& clock)
      : config_(config),
        on_synced_(std::move(options.on_synced)),
        loop_(options.server, fmt::format("dunlin-operator/{}", kVersion), clock),
        transport_(loop_, registry),
        client_(transport_, loop_, kClientOptions),
        events_(client_, loop_, {.controller = kReporter, .instance = options.identity}),
        writer_(client_, events_, [this] { return Leads(); }),
        control_("dunlin-operator", clock),
        caches_({config.kubernetes().namespaces().begin(), config.kubernetes().namespaces().end()}),
        groups_({.caches = caches_,
                 .client = client_,
                 .events = events_,
                 .writer = writer_,
                 .control = control_,
                 .clock = clock},
                DefaultsOf(config)),
        group_lane_("BrokerGroup", clock, registry,
                    [this](const k8s::ObjectKey& key) { return groups_.Reconcile(key); }),
        names_(caches_, writer_, events_, clock, DefaultsOf(config)),
        name_lane_("NameService", clock, registry,
                   [this](const k8s::ObjectKey& key) { return names_.Reconcile(key); }),
        topic_keeper_(admin_),
        topics_({caches_, events_, writer_, topic_keeper_, clock}, registry),
        consumer_group_keeper_(admin_),
        consumer_groups_({caches_, events_, writer_, consumer_group_keeper_, clock}, registry),
        user_keeper_(admin_, caches_, writer_, events_),
        users_({caches_, events_, writer_, user_keeper_, clock}, registry) {
    // A dozen for each group, asked for when the group is looked at.
    for (const k8s::ResourceType& type : OwnedTypes()) {
      caches_.Watch(type, kManaged, {.is_packed = true});
    }
    caches_.Watch(PersistentVolumeClaimType(), kClaims, {.is_packed = true});
    caches_.Watch(BrokerGroupType(), "");
    caches_.Watch(NameServiceType(), "");
    for (const KeptLane* const kept : KeptLanes()) caches_.Watch(kept->type, "");
    caches_.Watch(SecretType(), "",
                  {.trim = TrimSecret, .fields = fmt::format("type={}", kCredentialsType)});
    if (config.kubernetes().watch_nodes()) {
      caches_.Watch(NodeType(), "", {.is_needed = false, .trim = TrimNode});
    }
    caches_.OnChange([this](const k8s::ResourceType& type, const k8s::Store::Change& change) {
      Route(type, change);
    });
    if (!config.leader_election().enabled()) return;
    k8s::LeaderElectorOptions election =
        ElectionOf(config.leader_election(), options.server, options.identity);
    election.on_started = [this] {
      log::Info("this operator leads");
      MaybeBegin();
    };
    elector_ = std::make_unique<k8s::LeaderElector>(transport_, loop_, std::move(election));
  }

  void Start() {
    caches_.Start(client_, transport_, loop_);
    if (elector_ != nullptr) elector_->Start();
    loop_.Post([this] { LookWhetherSynced(); });
  }

  void Stop() {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      stopping_ = true;
    }
    group_lane_.workers.Stop();
    name_lane_.workers.Stop();
    for (KeptLane* const kept : KeptLanes()) kept->lane.workers.Stop();
    GiveBackLeadership();
    loop_.Stop();
  }

  OperatorMetrics::Values Values() const {
    OperatorMetrics::Values values{.leader = Leads(), .synced = synced_.load()};
    values.queues["BrokerGroup"] = group_lane_.queue.CurrentStats();
    values.queues["NameService"] = name_lane_.queue.CurrentStats();
    values.queues["Topic"] = topics_.lane.queue.CurrentStats();
    values.queues["ConsumerGroup"] = consumer_groups_.lane.queue.CurrentStats();
    values.queues["User"] = users_.lane.queue.CurrentStats();
    values.watches = caches_.States();
    // By one operator alone, or sums would count all twice.
    if (!values.leader) return values;
    for (const k8s::ResourceType& type :
         {BrokerGroupType(), NameServiceType(), TopicType(), ConsumerGroupType(), UserType()}) {
      std::map<std::string, size_t>& phases = values.objects[type.kind];
      for (const k8s::Object& object : caches_.List(type)) {
        ++phases[std::string(PhaseOf(*object))];
        if (type.kind != "BrokerGroup" && type.kind != "NameService") continue;  // no pods
        values.replicas.push_back({.kind = type.kind,
                                   .key = k8s::KeyOf(*object),
                                   .wanted = k8s::IntAt(*object, {"spec", "replicas"}),
                                   .ready = k8s::IntAt(*object, {"status", "readyReplicas"})});
      }
    }
    return values;
  }

 private:
  std::array<KeptLane*, 3> KeptLanes() { return {&topics_, &consumer_groups_, &users_}; }

  bool Leads() const { return elector_ == nullptr || elector_->IsLeader(); }

  void Route(const k8s::ResourceType& type, const k8s::Store::Change& change) {
    if (type == NodeType()) return RouteToGroupsOn(change);
    if (type == SecretType()) return RouteToThoseThatName(change);
    if (const auto group = GroupConcernedBy(type, change); group.has_value()) {
      group_lane_.queue.Add(*group);
    }
    if (const auto names = NameServiceConcernedBy(type, change); names.has_value()) {
      name_lane_.queue.Add(*names);
    }
    for (KeptLane* const kept : KeptLanes()) {
      if (const auto key = ResourceConcernedBy(kept->type, type, change); key.has_value()) {
        kept->lane.queue.Add(*key);
      }
    }
    if (ConcernsWhatBrokersKeep(type, change)) RouteToWhatBrokersKeep(type, change);
    if (type == NameServiceType() && ConcernsItsGroups(change)) {
      const k8s::Object& any = change.after != nullptr ? change.after : change.before;
      for (const k8s::Object& group : caches_.Referring(BrokerGroupType(), k8s::KeyOf(*any))) {
        group_lane_.queue.Add(k8s::KeyOf(*group));
      }
    }
  }

  void RouteToGroupsOn(const k8s::Store::Change& node) {
    if (!ConcernsItsPods(node)) return;
    const k8s::Object& any = node.after != nullptr ? node.after : node.before;
    for (const k8s::Object& pod : caches_.PodsOn(k8s::KeyOf(*any).name)) {
      const std::string_view group = k8s::LabelOf(*pod, kGroupLabel);
      if (!group.empty()) group_lane_.queue.Add({k8s::KeyOf(*pod).space, std::string(group)});
    }
  }

  void RouteToThoseThatName(const k8s::Store::Change& secret) {
    const k8s::ObjectKey key = k8s::KeyOf(secret.after != nullptr ? *secret.after : *secret.before);
    for (const k8s::Object& user : caches_.Naming(UserType(), key)) {
      users_.lane.queue.Add(k8s::KeyOf(*user));
    }
    for (const k8s::Object& group : caches_.Naming(BrokerGroupType(), key)) {
      group_lane_.queue.Add(k8s::KeyOf(*group));
      RouteToWhatBrokersKeep(BrokerGroupType(), {.before = nullptr, .after = group});
    }
  }

  // Of the NameService that the group refers to, or did.
  void RouteToWhatBrokersKeep(const k8s::ResourceType& type, const k8s::Store::Change& change) {
    k8s::Object group = change.after != nullptr ? change.after : change.before;
    if (type != BrokerGroupType()) {
      const k8s::ObjectKey lease = k8s::KeyOf(*group);
      group = caches_.Get(BrokerGroupType(),
                          {lease.space, std::string(k8s::LabelOf(*group, kGroupLabel))});
      if (group == nullptr) return;
    }
    const k8s::ObjectKey names{
        k8s::KeyOf(*group).space,
        std::string(k8s::StringAt(*group, {"spec", "nameServiceRef", "name"}))};
    for (KeptLane* const kept : KeptLanes()) {
      for (const k8s::Object& resource : caches_.Referring(kept->type, names)) {
        kept->lane.queue.Add(k8s::KeyOf(*resource));
      }
    }
  }

  void LookWhetherSynced() {
    if (!caches_.IsSynced()) return loop_.After(kSyncLook, [this] { LookWhetherSynced(); });
    log::Info("all that is watched is known");
    synced_ = true;
    if (on_synced_) on_synced_();
    MaybeBegin();
  }

  // On the loop's thread. Nothing is decided before all is known.
  void MaybeBegin() {
    MutexLock lock(mutex_);
    if (stopping_ || begun_ || !synced_ || !Leads()) return;
    begun_ = true;
    group_lane_.workers.Start(static_cast<int>(config_.reconcile().workers()));
    name_lane_.workers.Start(1);
    for (KeptLane* const kept : KeptLanes()) {
      kept->lane.workers.Start(static_cast<int>(config_.reconcile().workers()));
    }
  }

  void GiveBackLeadership() {
    if (elector_ == nullptr) return;
    struct Waiter {
      Mutex mutex;
      CondVar changed;
      bool released ABSL_GUARDED_BY(mutex) = false;
    };
    const auto waiter = std::make_shared<Waiter>();
    elector_->Release([waiter] {
      MutexLock lock(waiter->mutex);
      waiter->released = true;
      waiter->changed.Signal();
    });
    const auto deadline = std::chrono::steady_clock::now() + kReleasePatience;
    MutexLock lock(waiter->mutex);
    while (!waiter->released && waiter->changed.WaitUntil(waiter->mutex, deadline)) {
    }
  }

  const config::v1::OperatorConfig& config_;
  const std::function<void()> on_synced_;
  k8s::CurlLoop loop_;
  CountingTransport transport_;
  k8s::Client client_;
  k8s::EventRecorder events_;
  Writer writer_;
  GrpcGroupControl control_;
  Caches caches_;
  BrokerGroupController groups_;
  Lane group_lane_;
  NameServiceController names_;
  Lane name_lane_;
  BrokerAdmin admin_;
  TopicKeeper topic_keeper_;
  KeptLane topics_;
  ConsumerGroupKeeper consumer_group_keeper_;
  KeptLane consumer_groups_;
  UserKeeper user_keeper_;
  KeptLane users_;
  std::unique_ptr<k8s::LeaderElector> elector_;  // null: there is no other operator

  std::atomic<bool> synced_{false};
  Mutex mutex_;
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

Operator::Operator(const config::v1::OperatorConfig& config, Options options,
                   prometheus::Registry& registry, const Clock& clock)
    : rooms_(std::make_shared<Rooms>(config, std::move(options), registry, clock)) {}

Operator::~Operator() { Stop(); }

void Operator::Start() { rooms_->Start(); }

void Operator::Stop() { rooms_->Stop(); }

std::shared_ptr<prometheus::Collectable> Operator::metrics() const {
  return std::make_shared<OperatorMetrics>([rooms = rooms_] { return rooms->Values(); });
}

}  // namespace dunlin::op
