#include "services/broker/registration/registrar.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "services/base/strong_int.h"
#include "services/runtime/host_port.h"

namespace dunlin::broker {
namespace {

// So often at least, whatever the clock does.
constexpr std::chrono::milliseconds kLongestWait{1'000};

}  // namespace

absl::StatusOr<std::unique_ptr<Registrar>> Registrar::Start(const Options& options,
                                                            TopicTable& topics,
                                                            const Clock& clock) {
  for (const std::string& address : options.name_services) {
    const std::optional<HostPort> parsed = ParseHostPort(address);
    if (parsed.has_value() && parsed->port != 0) continue;
    return absl::InvalidArgumentError(fmt::format(
        "broker.name_services: {} has no port; give the one that the name service listens on, as "
        "in names-0:9876",
        address));
  }
  return std::unique_ptr<Registrar>(new Registrar(options, topics, clock));
}

Registrar::Registrar(const Options& options, TopicTable& topics, const Clock& clock)
    : clock_(clock),
      hello_(options.hello),
      journal_(std::make_shared<TopicJournal>(Epoch(static_cast<uint32_t>(options.hello.epoch())),
                                              options.name_services.size(), clock,
                                              [this] { Wake(); })) {
  topics.watchers().AddForAll(journal_);
  for (size_t i = 0; i < options.name_services.size(); ++i) {
    sessions_.push_back(
        std::make_unique<RegistrationSession>(RegistrationSession::Rooms{topics, *journal_, clock},
                                              options.name_services[i], i, [this] { Wake(); }));
  }
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "registrar");
    Loop();
  });
}

Registrar::~Registrar() { Stop(); }

void Registrar::SetRole(nameservice::v1::MemberRole role, uint32_t id, uint64_t epoch) {
  {
    MutexLock lock(mutex_);
    hello_.set_role(role);
    hello_.set_id(id);
    hello_.set_epoch(epoch);
  }
  Wake();
}

std::vector<Registrar::Counts> Registrar::counts() const {
  std::vector<Counts> counts;
  counts.reserve(sessions_.size());
  for (const auto& session : sessions_) counts.push_back({session->address(), session->counts()});
  return counts;
}

void Registrar::Wake() {
  MutexLock lock(mutex_);
  news_ = true;
  changed_.SignalAll();
}

void Registrar::Loop() {
  for (;;) {
    nameservice::v1::Hello hello;
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      news_ = false;
      hello = hello_;
    }
    const Timestamp now = clock_.Now();
    Timestamp next = now + kLongestWait;
    for (const auto& session : sessions_) next = std::min(next, session->Step(now, hello));
    const auto wake_at =
        std::chrono::steady_clock::now() + std::max(next - now, Timestamp::duration(1));
    MutexLock lock(mutex_);
    while (!news_ && !stopping_ && changed_.WaitUntil(mutex_, wake_at)) {
    }
  }
}

void Registrar::Stop() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopping_, true)) return;
    changed_.SignalAll();
  }
  thread_.join();
  // Who still changes topics may tell the journal, and it this registrar: not the sessions.
  sessions_.clear();
}

}  // namespace dunlin::broker
