#include "services/broker/clients/producer_sessions.h"

#include <algorithm>

namespace dunlin::broker {
namespace {

// Sessions that are offered one command: all of many thousands may be busy.
constexpr size_t kMostOffers = 16;

}  // namespace

void ProducerSessions::Put(const std::shared_ptr<ProducerSession>& session,
                           const std::vector<std::string>& topics) {
  std::vector<std::string> announced = topics;
  std::sort(announced.begin(), announced.end());
  announced.erase(std::unique(announced.begin(), announced.end()), announced.end());
  MutexLock lock(mutex_);
  const auto known = announced_.find(session.get());
  if (known != announced_.end() && known->second == announced) return;
  RemoveLocked(session.get());
  for (const std::string& topic : announced) topics_[topic].sessions.push_back(session);
  announced_[session.get()] = std::move(announced);
  ++arrivals_;
}

void ProducerSessions::Remove(const std::shared_ptr<ProducerSession>& session) {
  MutexLock lock(mutex_);
  RemoveLocked(session.get());
}

void ProducerSessions::RemoveLocked(const ProducerSession* session) {
  const auto known = announced_.find(session);
  if (known == announced_.end()) return;
  for (const std::string& name : known->second) {
    const auto topic = topics_.find(name);
    if (topic == topics_.end()) continue;
    std::erase_if(topic->second.sessions,
                  [session](const auto& one) { return one.get() == session; });
    if (topic->second.sessions.empty()) topics_.erase(topic);
  }
  announced_.erase(known);
}

ProducerSessions::Outcome ProducerSessions::Offer(std::string_view topic,
                                                  const std::string& command) {
  std::vector<std::shared_ptr<ProducerSession>> candidates;
  {
    MutexLock lock(mutex_);
    const auto found = topics_.find(topic);
    if (found == topics_.end()) return Outcome::kNobody;
    Topic& sessions = found->second;
    const size_t first = sessions.turn++;
    for (size_t i = 0; i < std::min(kMostOffers, sessions.sessions.size()); ++i) {
      candidates.push_back(sessions.sessions[(first + i) % sessions.sessions.size()]);
    }
  }
  for (const std::shared_ptr<ProducerSession>& session : candidates) {
    if (session->Offer(command)) return Outcome::kOffered;
  }
  return Outcome::kBusy;
}

bool ProducerSessions::HasAny(std::string_view topic) const {
  MutexLock lock(mutex_);
  return topics_.contains(topic);
}

uint64_t ProducerSessions::arrivals() const {
  MutexLock lock(mutex_);
  return arrivals_;
}

}  // namespace dunlin::broker
