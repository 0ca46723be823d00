// UserTable: which users there are.
//
// The in-memory truth while the broker runs; made from the state store at start. A change is a
// CONFIG record: it counts from the moment the record is durable, and is in the table from then on.
// That of a slave changes nothing itself: it follows the state store (Follow).
//
// Lookups are thread-safe, cheap and never wait for a disk. Changes wait for the log: call them on
// an executor, not on an RPC thread.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/broker/access/user_source.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

class UserTable final : public UserSource {
 public:
  // `log` and `clock` must outlive the table.
  static absl::StatusOr<std::unique_ptr<UserTable>> Load(store::CommitLog& log,
                                                         const store::StateStore& state,
                                                         const Clock& clock, size_t max_users);

  std::shared_ptr<const User> Find(std::string_view name) const override
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Ascending by name.
  std::vector<std::shared_ptr<const User>> Users() const ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t version() const override { return version_.load(std::memory_order_acquire); }

  // `user.created` is ignored. Errors: INVALID_ARGUMENT, ALREADY_EXISTS, RESOURCE_EXHAUSTED (as
  // many as allowed), those of the log.
  absl::StatusOr<std::shared_ptr<const User>> Create(User user)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  // Replaces everything but the creation time, and the secret when none is given. Errors:
  // INVALID_ARGUMENT, NOT_FOUND, those of the log.
  absl::StatusOr<std::shared_ptr<const User>> Update(User user)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  absl::Status Delete(std::string_view name) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // Takes over what is in the state store. Reads the disk.
  absl::Status Follow(const store::StateStore& state) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

 private:
  using Table = StringMap<std::shared_ptr<const User>>;
  UserTable(store::CommitLog& log, const Clock& clock, size_t max_users)
      : log_(log), clock_(clock), max_users_(max_users) {}

  absl::StatusOr<std::shared_ptr<const User>> Put(User user)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Record(const std::string& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_);
  void Changed() { version_.fetch_add(1, std::memory_order_release); }

  store::CommitLog& log_;
  const Clock& clock_;
  const size_t max_users_;
  std::atomic<uint64_t> version_{1};

  // Serialises changes; held while the log makes one durable. Taken before mutex_.
  Mutex change_mutex_;
  mutable Mutex mutex_;
  Table users_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
