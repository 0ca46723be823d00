#include "services/broker/access/user_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/access/user_rows.h"
#include "services/broker/admission/text.h"

namespace dunlin::broker {
namespace {

absl::Status NoUser(std::string_view name) {
  return absl::NotFoundError(fmt::format("there is no user {}", Quoted(name)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<UserTable>> UserTable::Load(store::CommitLog& log,
                                                           const store::StateStore& state,
                                                           const Clock& clock, size_t max_users) {
  auto table = std::unique_ptr<UserTable>(new UserTable(log, clock, max_users));
  RETURN_IF_ERROR(table->Follow(state));
  return table;
}

std::shared_ptr<const User> UserTable::Find(std::string_view name) const {
  MutexLock lock(mutex_);
  const auto found = users_.find(name);
  return found == users_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const User>> UserTable::Users() const {
  std::vector<std::shared_ptr<const User>> users;
  {
    MutexLock lock(mutex_);
    users.reserve(users_.size());
    for (const auto& [name, user] : users_) users.push_back(user);
  }
  std::sort(users.begin(), users.end(),
            [](const auto& a, const auto& b) { return a->name < b->name; });
  return users;
}

absl::Status UserTable::Record(const std::string& change) {
  const std::array<std::string_view, 1> payload = {change};
  store::NewRecord record;
  record.kind = store::RecordKind::kConfig;
  record.payload = payload;
  return log_.AppendAndWait(record).status();
}

absl::StatusOr<std::shared_ptr<const User>> UserTable::Put(User user) {
  storage::v1::ConfigChange change;
  *change.mutable_put_user() = RowOf(user);
  RETURN_IF_ERROR(Record(change.SerializeAsString()));
  auto put = std::make_shared<const User>(std::move(user));
  {
    MutexLock lock(mutex_);
    users_[put->name] = put;
  }
  Changed();
  return put;
}

absl::StatusOr<std::shared_ptr<const User>> UserTable::Create(User user) {
  RETURN_IF_ERROR(CheckUser(user));
  MutexLock change(change_mutex_);
  {
    MutexLock lock(mutex_);
    if (users_.contains(user.name)) {
      return absl::AlreadyExistsError(fmt::format("user {} exists already", user.name));
    }
    if (users_.size() >= max_users_) {
      return absl::ResourceExhaustedError(
          fmt::format("there are {} users already, which is the limit: delete some, or raise "
                      "access.max_users",
                      max_users_));
    }
  }
  user.created = clock_.Now();
  return Put(std::move(user));
}

absl::StatusOr<std::shared_ptr<const User>> UserTable::Update(User user) {
  MutexLock change(change_mutex_);
  const std::shared_ptr<const User> old = Find(user.name);
  if (old == nullptr) return NoUser(user.name);
  if (user.secret.empty()) user.secret = old->secret;
  RETURN_IF_ERROR(CheckUser(user));
  user.created = old->created;
  return Put(std::move(user));
}

absl::Status UserTable::Delete(std::string_view name) {
  MutexLock change(change_mutex_);
  if (Find(name) == nullptr) return NoUser(name);
  storage::v1::ConfigChange deletion;
  deletion.set_delete_user(std::string(name));
  RETURN_IF_ERROR(Record(deletion.SerializeAsString()));
  {
    MutexLock lock(mutex_);
    users_.erase(name);
  }
  Changed();
  return absl::OkStatus();
}

absl::Status UserTable::Follow(const store::StateStore& state) {
  MutexLock change(change_mutex_);
  ASSIGN_OR_RETURN(const std::vector<storage::v1::User> rows, state.ListUsers());
  Table users;
  for (const storage::v1::User& row : rows) {
    absl::StatusOr<User> user = UserOf(row);
    if (!user.ok()) {
      // Nobody is let in by rules that are not understood.
      log::Error("user {} is left out: {}", row.name(), std::string(user.status().message()));
      continue;
    }
    auto known = std::make_shared<const User>(*std::move(user));
    users[known->name] = std::move(known);
  }
  {
    MutexLock lock(mutex_);
    users_ = std::move(users);
  }
  Changed();
  return absl::OkStatus();
}

}  // namespace dunlin::broker
