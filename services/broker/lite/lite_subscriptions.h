// LiteSubscriptions: which client wants which lightweight topics, and which of them have something
// for it. Pure: no clock, no I/O.
//
// A subscription names a lightweight topic, whether there is one or not. What happens to a
// lightweight topic (a message, the end of a lease) is told by MarkReady: it goes into the list of
// each client that wants it, once, and stays there until the client looks. So a receive costs what
// happened, not what is subscribed to.
//
// Sets live as long as their client: a client tells its set anew every 30 seconds. Thread-safe.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/base/strong_int.h"

namespace dunlin::broker {

// Where a client waits for lightweight topics.
struct LitePlace {
  TopicId parent;
  GroupId group;
  uint64_t client = 0;  // hash of its id

  friend bool operator==(const LitePlace&, const LitePlace&) = default;
  template <typename Hash>
  friend Hash AbslHashValue(Hash hash, const LitePlace& place) {
    return Hash::combine(std::move(hash), place.parent, place.group, place.client);
  }
};
LitePlace PlaceOf(TopicId parent, GroupId group, std::string_view client_id);

class LiteSubscriptions {
 public:
  struct Limits {
    size_t per_client = 2000;
    size_t total = 1'000'000;
  };
  explicit LiteSubscriptions(const Limits& limits) : limits_(limits) {}

  // Numbers of apache.rocketmq.v2.LiteSubscriptionAction.
  enum class Action { kAdd = 0, kRemove = 1, kReplace = 2, kRemoveAll = 3 };
  struct Change {
    TopicId parent;
    GroupId group;
    std::string_view client_id;
    Action action = Action::kAdd;
    std::vector<std::string_view> names;
    // When the client made the change; one that is older than the last is ignored.
    std::optional<int64_t> version;
    // A lightweight topic goes to one client of the group. kAdd takes it over; kReplace, which only
    // repeats what the client believes, does not.
    bool exclusive = false;
  };
  struct Loss {
    std::string client_id;
    std::string name;
  };
  struct Outcome {
    std::vector<std::string> added;  // not subscribed to before
    std::vector<Loss> lost;          // who is to be told that another client has it
    bool ignored = false;            // it came too late; nothing was changed
  };
  // All or nothing. What is there counts once, and removing always succeeds. Errors:
  // LITE_SUBSCRIPTION_QUOTA_EXCEEDED (of the client), TOO_MANY_REQUESTS (of all together).
  absl::StatusOr<Outcome> Apply(const Change& change) ABSL_LOCKS_EXCLUDED(mutex_);

  // There may be something in `queue`, which has this name: for the clients of `group`, or of
  // every group. The places of those who did not know are added to `told`.
  void MarkReady(QueueKey queue, std::string_view name, std::optional<GroupId> group,
                 std::vector<LitePlace>& told) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasReady(GroupId group, std::string_view client_id) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The next queue to look into for this client.
  std::optional<uint32_t> TakeReady(GroupId group, std::string_view client_id)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether the client wants it; and who in the group does.
  bool Wants(GroupId group, std::string_view client_id, std::string_view name) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::string> ClientsOf(GroupId group, std::string_view name) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  void DropClient(std::string_view client_id) ABSL_LOCKS_EXCLUDED(mutex_);
  void DropGroup(GroupId group) ABSL_LOCKS_EXCLUDED(mutex_);
  void DropParent(TopicId parent) ABSL_LOCKS_EXCLUDED(mutex_);

  // Pairs of a client and a lightweight topic.
  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);
  size_t CountOf(GroupId group) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Interest;
  struct Client {
    std::string id;
    LitePlace place;
    absl::flat_hash_set<Interest*> interests;
    int64_t version = INT64_MIN;
    // In order; some may have been taken back since, and stand nowhere but here.
    std::deque<uint32_t> ready;
    absl::flat_hash_set<uint32_t> is_ready;
  };
  struct Interest {
    std::string name;
    uint32_t queue = 0;                       // the newest of this name that was ready
    absl::InlinedVector<Client*, 1> clients;  // never empty
  };
  struct Group {
    TopicId parent;
    StringMap<std::unique_ptr<Client>> clients;
    StringMap<std::unique_ptr<Interest>> interests;
    size_t size = 0;
  };

  Group& GroupOf(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static Client& ClientOf(Group& group, const Change& change);
  absl::Status CheckRoom(const Client& client, size_t size) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(Group& group, Client& client, std::string_view name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(Group& group, Client& client, Interest& interest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Nothing is ready there for the client any more.
  static void TakeBack(Client& client, uint32_t queue);
  static Interest* FindInterest(const Group& group, std::string_view name);
  void Forget(GroupId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Group* FindGroup(GroupId id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Client* FindClient(GroupId group, std::string_view client_id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropGroupLocked(GroupId group) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  mutable Mutex mutex_;
  absl::flat_hash_map<GroupId, std::unique_ptr<Group>> groups_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<TopicId, absl::flat_hash_set<GroupId>> by_parent_ ABSL_GUARDED_BY(mutex_);
  StringMap<absl::flat_hash_set<GroupId>> by_client_ ABSL_GUARDED_BY(mutex_);
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::broker
