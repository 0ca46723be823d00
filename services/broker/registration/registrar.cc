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
                                                            std::shared_ptr<TopicTable> topics,
                                                            const Clock& clock) {
  for (const std::string& address : options.name_services) {
    const std::optional<HostPort> parsed = ParseHostPort(address);
    if (parsed.has_value() && parsed->port != 0) continue;
    return absl::InvalidArgumentError(fmt::format(
        "broker.name_services: {} has no port; give the one that the name service listens on, as "
        "in names-0:9876",
        address));
  }
  return std::unique_ptr<Registrar>(new Registrar(options, std::move(topics), clock));
}

Registrar::Registrar(const Options& options, std::shared_ptr<TopicTable> topics, const Clock& clock)
    : clock_(clock), external_endpoints_(options.external_endpoints) {
  for (size_t i = 0; i < options.name_services.size(); ++i) {
    sessions_.push_back(std::make_unique<RegistrationSession>(
        options.name_services[i], i, [this] { Wake(); }, options.credentials));
  }
  {
    std::shared_ptr<TopicJournal> journal = MakeJournal(*topics, options.hello.epoch());
    MutexLock lock(mutex_);
    registration_ = {options.hello, std::move(topics), std::move(journal)};
  }
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "registrar");
    Loop();
  });
}

Registrar::~Registrar() { Stop(); }

std::shared_ptr<TopicJournal> Registrar::MakeJournal(TopicTable& topics, uint64_t epoch) {
  auto journal = std::make_shared<TopicJournal>(Epoch(static_cast<uint32_t>(epoch)),
                                                sessions_.size(), clock_, [this] { Wake(); });
  topics.watchers().AddForAll(journal);
  return journal;
}

void Registrar::SetRole(const Role& role) { SetRole(role, nullptr); }

void Registrar::SetRole(const Role& role, std::shared_ptr<TopicTable> topics) {
  std::shared_ptr<TopicJournal> journal;
  if (topics != nullptr) journal = MakeJournal(*topics, role.epoch);
  {
    MutexLock lock(mutex_);
    registration_.hello.set_role(role.role);
    registration_.hello.set_id(role.id);
    registration_.hello.set_epoch(role.epoch);
    if (topics != nullptr) {
      registration_.topics.swap(topics);
      registration_.journal.swap(journal);
    }
  }
  Wake();
}

std::string Registrar::master() const {
  MutexLock lock(mutex_);
  return master_;
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
    Registration registration;
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
      news_ = false;
      registration = registration_;
    }
    if (external_endpoints_) {
      *registration.hello.mutable_external_endpoints() = external_endpoints_();
    }
    const Timestamp now = clock_.Now();
    Timestamp next = now + kLongestWait;
    std::string master;
    for (const auto& session : sessions_) {
      next = std::min(next, session->Step(now, registration));
      if (master.empty()) master = session->master();
    }
    const auto wake_at =
        std::chrono::steady_clock::now() + std::max(next - now, Timestamp::duration(1));
    MutexLock lock(mutex_);
    master_ = std::move(master);
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
