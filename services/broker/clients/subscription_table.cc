#include "services/broker/clients/subscription_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

constexpr int32_t kTag = 1;  // of apache.rocketmq.v2.FilterType
// Those who have gone are looked for when there are twice as many as the last time, or so many.
constexpr size_t kFew = 64;
constexpr size_t kFewPlaces = 1024;
// Bytes of a client id or a filter in a message.
constexpr size_t kShown = 120;

bool IsTag(const SubscriptionTable::Filter& filter) {
  return filter.type == 0 || filter.type == kTag;
}

// For messages: of what may be long, the beginning, without half a character at its end.
std::string Shown(std::string_view text) {
  if (text.size() <= kShown) return std::string(text);
  size_t size = kShown;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return fmt::format("{}...", text.substr(0, size));
}

// Equal for filters that mean the same, as far as that is easy to tell.
std::string InWords(const SubscriptionTable::Filter& filter) {
  if (!IsTag(filter)) return fmt::format("SQL {}", filter.expression);
  std::vector<std::string> tags;
  const std::string text(filter.expression);
  const std::vector<std::string> parts = absl::StrSplit(text, "||");
  for (const std::string& part : parts) {
    const size_t first = part.find_first_not_of(' ');
    if (first == std::string::npos) continue;
    tags.push_back(part.substr(first, part.find_last_not_of(' ') - first + 1));
  }
  if (tags.empty()) tags.emplace_back("*");
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  return "TAG " + absl::StrJoin(tags, " || ");
}

struct Entry {
  int32_t type = 0;
  std::string expression;  // as the first client put it
  std::string words;
  // How many streams each has: 0 for one that polls.
  StringMap<uint32_t> members;
  size_t look_at = kFew;  // members
  std::string refused_client;
  std::string refused_filter;
};

}  // namespace

class SubscriptionTable::State {
 public:
  explicit State(const ClientRegistry& clients) : clients_(clients) {}

  absl::Status Enter(Place place, const Filter& filter, std::string_view client, uint32_t streams)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (entries_.size() >= sweep_at_) Sweep();
    Entry& entry = entries_[std::pair(place.group, place.topic)];
    if (!entry.members.empty() && !IsSame(entry, filter)) {
      auto own = entry.members.find(client);
      if (own != entry.members.end() && own->second == 0) entry.members.erase(own);
      Prune(entry);
      if (!entry.members.empty()) return Refuse(entry, filter, client);
    }
    if (entry.members.empty()) {
      entry = Entry();
      entry.type = filter.type;
      entry.expression = filter.expression;
      entry.words = InWords(filter);
    }
    auto member = entry.members.find(client);
    if (member == entry.members.end()) {
      if (entry.members.size() >= entry.look_at) Prune(entry);
      member = entry.members.emplace(std::string(client), 0).first;
    }
    member->second += streams;
    if (!entry.refused_client.empty() && entry.refused_client == client) ForgetRefused(entry);
    return absl::OkStatus();
  }

  bool IsInForce(Place place, const Filter& filter) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    const auto found = entries_.find(std::pair(place.group, place.topic));
    return found == entries_.end() || IsSame(found->second, filter);
  }

  void LeaveStream(Place place, std::string_view client) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    auto found = entries_.find(std::pair(place.group, place.topic));
    if (found == entries_.end()) return;
    Entry& entry = found->second;
    auto member = entry.members.find(client);
    if (member == entry.members.end() || member->second == 0 || --member->second > 0) return;
    entry.members.erase(member);
    if (entry.members.empty()) entries_.erase(found);
  }

  std::vector<Subscription> List(GroupId group) ABSL_LOCKS_EXCLUDED(mutex_) {
    std::vector<Subscription> list;
    MutexLock lock(mutex_);
    for (auto& [place, entry] : entries_) {
      if (place.first != group) continue;
      Prune(entry);
      if (entry.members.empty()) continue;
      if (!entry.refused_client.empty() && !clients_.IsAlive(entry.refused_client)) {
        ForgetRefused(entry);
      }
      Subscription& subscription = list.emplace_back();
      subscription.topic = place.second;
      subscription.filter = entry.words;
      for (const auto& [client, streams] : entry.members) subscription.clients.push_back(client);
      std::sort(subscription.clients.begin(), subscription.clients.end());
      subscription.refused_client = entry.refused_client;
      subscription.refused_filter = entry.refused_filter;
    }
    std::sort(list.begin(), list.end(),
              [](const auto& a, const auto& b) { return a.topic < b.topic; });
    return list;
  }

 private:
  static bool IsSame(const Entry& entry, const Filter& filter) {
    const bool same_type = IsTag({entry.type, {}}) == IsTag(filter);
    return same_type && (entry.expression == filter.expression || entry.words == InWords(filter));
  }

  static void ForgetRefused(Entry& entry) {
    entry.refused_client.clear();
    entry.refused_filter.clear();
  }

  static absl::Status Refuse(Entry& entry, const Filter& filter, std::string_view client) {
    entry.refused_client = client;
    entry.refused_filter = InWords(filter);
    return PublicError(
        PublicCode::kPreconditionFailed,
        fmt::format("client {} asks for {}, while client {} consumes the topic for the same group "
                    "with {}: consumers of one group must use the same filter on a topic, or they "
                    "lose messages. This one may go on once those with the other filter have ended "
                    "({} of them); or give it a group of its own",
                    Shown(client), Shown(entry.refused_filter), Shown(entry.members.begin()->first),
                    Shown(entry.words), entry.members.size()));
  }

  void Prune(Entry& entry) const {
    for (auto member = entry.members.begin(); member != entry.members.end();) {
      auto current = member++;
      if (current->second == 0 && !clients_.IsAlive(current->first)) entry.members.erase(current);
    }
    entry.look_at = std::max(kFew, entry.members.size() * 2);
  }

  void Sweep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (auto place = entries_.begin(); place != entries_.end();) {
      auto current = place++;
      Prune(current->second);
      if (current->second.members.empty()) entries_.erase(current);
    }
    sweep_at_ = std::max(kFewPlaces, entries_.size() * 2);
  }

  const ClientRegistry& clients_;
  Mutex mutex_;
  absl::flat_hash_map<std::pair<GroupId, TopicId>, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) = kFewPlaces;
};

SubscriptionTable::SubscriptionTable(const ClientRegistry& clients)
    : state_(std::make_unique<State>(clients)) {}
SubscriptionTable::~SubscriptionTable() = default;

absl::Status SubscriptionTable::Enter(Place place, const Filter& filter, std::string_view client) {
  return state_->Enter(place, filter, client, 0);
}

bool SubscriptionTable::IsInForce(Place place, const Filter& filter) const {
  return state_->IsInForce(place, filter);
}

absl::Status SubscriptionTable::EnterStream(Place place, const Filter& filter,
                                            std::string_view client) {
  return state_->Enter(place, filter, client, 1);
}

void SubscriptionTable::LeaveStream(Place place, std::string_view client) {
  state_->LeaveStream(place, client);
}

std::vector<SubscriptionTable::Subscription> SubscriptionTable::List(GroupId group) const {
  return state_->List(group);
}

}  // namespace dunlin::broker
