#include "services/nameservice/name_service.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"
#include "services/broker/rpc/route_service.h"
#include "services/nameservice/name_service_metrics.h"
#include "services/nameservice/rpc/client_registry_service.h"
#include "services/nameservice/rpc/query_service.h"
#include "services/nameservice/rpc/registry_service.h"
#include "services/nameservice/rpc/route_directory.h"
#include "services/nameservice/values/saved_state.h"
#include "services/relay/relay.h"
#include "services/runtime/executor.h"
#include "services/runtime/host_port.h"

namespace dunlin::nameservice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kStateFile[] = "/name-service-state";
constexpr milliseconds kStepInterval{100};
// What could not be saved is tried again so many steps later.
constexpr int kStepsBetweenSaves = 10;
// Changes of values and of known groups that may wait for the disk at a time.
constexpr size_t kExecutorCapacity = 1'000;

RouteTable::Options OptionsOf(const config::v1::RegistryConfig& config,
                              const SavedState::Groups& saved,
                              const std::vector<std::string>& expected) {
  RouteTable::Options options;
  options.session_timeout = milliseconds(config.session_timeout_ms());
  options.start_grace = milliseconds(config.start_grace_ms());
  options.group_retention = seconds(config.group_retention_seconds());
  options.max_groups = config.max_groups();
  options.max_topics = config.max_topics();
  options.awaited = saved.known.empty() ? expected : saved.known;
  options.read_only = saved.read_only;
  return options;
}

}  // namespace

// Declared in the order of levels, so that destruction runs in reverse.
class NameService::Rooms {
 public:
  Rooms(const config::v1::RegistryConfig& config, std::unique_ptr<SavedState> saved_state,
        const Place& place, const Clock& clock);
  ~Rooms() { Stop(); }

  void Stop() ABSL_LOCKS_EXCLUDED(mutex);
  void Loop() ABSL_LOCKS_EXCLUDED(mutex);
  void TellReady() ABSL_LOCKS_EXCLUDED(mutex);
  void Save();

  const std::unique_ptr<SavedState> saved;
  Executor executor{"name-service", kExecutorCapacity};
  std::atomic<bool> save_waits = false;  // in the executor
  std::atomic<bool> unsaved = false;     // what is to be remembered is not all on disk
  std::atomic<bool> save_failing = false;
  RouteDirectory directory;
  broker::RouteServiceImpl routes{directory};
  Relay relay;  // of calls that are for a broker
  QueryServiceImpl queries{directory, relay};
  RegistryServiceImpl registry;
  std::unique_ptr<ClientRegistryServiceImpl> for_clients;  // null: they have no port of their own

  Mutex mutex;
  CondVar changed;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::function<void()> when_ready ABSL_GUARDED_BY(mutex);
  std::thread steps;
};

NameService::Rooms::Rooms(const config::v1::RegistryConfig& config,
                          std::unique_ptr<SavedState> saved_state, const Place& place,
                          const Clock& clock)
    : saved(std::move(saved_state)),
      directory(OptionsOf(config, saved->groups(), place.expected), clock, [this] { Save(); }),
      relay(Relay::Limits(), place.credentials),
      registry(directory, *saved, executor, {.session_timeout_ms = config.session_timeout_ms()}) {
  steps = std::thread([this] {
    pthread_setname_np(pthread_self(), "sessions");
    Loop();
  });
}

void NameService::Rooms::Save() {
  unsaved = true;
  if (save_waits.exchange(true)) return;  // it will find this change, too
  const absl::Status accepted = executor.Run([this] {
    save_waits = false;
    unsaved = false;
    const RouteDirectory::Remembered now = directory.remembered();
    const absl::Status status = saved->SaveGroups({now.groups, now.read_only});
    if (!status.ok()) unsaved = true;
    if (save_failing.exchange(!status.ok()) == !status.ok()) return;
    // Groups that come and go are remembered for the next start only: it would wait a little
    // longer, or tell routes a little early.
    if (status.ok()) {
      log::Info("the names of broker groups are saved again");
    } else {
      log::Warning("the names of broker groups could not be saved, trying again every second: {}",
                   status.ToString());
    }
  });
  if (!accepted.ok()) save_waits = false;
}

void NameService::Rooms::Loop() {
  for (int step = 1;; ++step) {
    directory.Step();
    TellReady();
    if (step % kStepsBetweenSaves == 0 && unsaved && !save_waits) Save();
    MutexLock lock(mutex);
    if (!stopping) changed.WaitUntil(mutex, std::chrono::steady_clock::now() + kStepInterval);
    if (stopping) return;
  }
}

void NameService::Rooms::TellReady() {
  if (!directory.ready()) return;
  MutexLock lock(mutex);
  if (const auto call = std::exchange(when_ready, nullptr)) call();
}

void NameService::Rooms::Stop() {
  {
    MutexLock lock(mutex);
    if (std::exchange(stopping, true)) return;
    changed.SignalAll();
  }
  steps.join();
  relay.Stop();
  executor.Stop();
}

NameService::NameService(std::shared_ptr<Rooms> rooms) : rooms_(std::move(rooms)) {}

NameService::~NameService() { Stop(); }

absl::StatusOr<std::unique_ptr<NameService>> NameService::Start(
    const config::v1::RegistryConfig& config, const Place& place, FileSystem& files,
    const Clock& clock) {
  ASSIGN_OR_RETURN(std::unique_ptr<SavedState> saved,
                   SavedState::Open(files, place.data_dir + kStateFile));
  return std::unique_ptr<NameService>(
      new NameService(std::make_shared<Rooms>(config, std::move(saved), place, clock)));
}

void NameService::AddInsidePorts(const config::v1::ServerConfig& server, uint16_t listening) {
  rooms_->directory.AddInsidePort(listening);
  const std::optional<HostPort> advertised = ParseHostPort(server.advertised_address());
  if (advertised.has_value()) rooms_->directory.AddInsidePort(advertised->port);
}

void NameService::CallWhenReady(std::function<void()> call) {
  {
    MutexLock lock(rooms_->mutex);
    rooms_->when_ready = std::move(call);
  }
  rooms_->TellReady();
}

std::vector<grpc::Service*> NameService::services() const {
  return {&rooms_->registry, &rooms_->routes, &rooms_->queries};
}

std::vector<grpc::Service*> NameService::ServicesForClients(uint16_t port) {
  rooms_->for_clients = std::make_unique<ClientRegistryServiceImpl>(rooms_->registry, port);
  return {rooms_->for_clients.get(), &rooms_->routes, &rooms_->queries};
}

std::shared_ptr<prometheus::Collectable> NameService::metrics() const {
  return std::make_shared<NameServiceMetrics>([rooms = rooms_] {
    return NameServiceMetrics::Values{rooms->directory.counts(), rooms->directory.watches(),
                                      rooms->directory.ready()};
  });
}

void NameService::Drain() {
  rooms_->registry.Stop();
  rooms_->routes.Stop();
  rooms_->relay.Cancel();
}

void NameService::Stop() { rooms_->Stop(); }

}  // namespace dunlin::nameservice
