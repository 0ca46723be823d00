#include "services/broker/access/super_user_file.h"

#include <fmt/format.h>
#include <pthread.h>

#include <chrono>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin::broker {
namespace {

constexpr std::chrono::milliseconds kLookInterval{500};
constexpr char kSpace[] = " \t\r\n";

}  // namespace

absl::StatusOr<User> SuperUserFile::Read(FileSystem& files, const std::string& name,
                                         const std::string& path) {
  User user;
  user.name = name;
  user.super = true;
  ASSIGN_OR_RETURN(user.secret, ReadWholeFile(files, path));
  user.secret.erase(user.secret.find_last_not_of(kSpace) + 1);
  user.secret.erase(0, user.secret.find_first_not_of(kSpace));
  if (const absl::Status checked = CheckUser(user); !checked.ok()) {
    return absl::InvalidArgumentError(fmt::format("access.super_user {} with the secret in {}: {}",
                                                  name, path, std::string(checked.message())));
  }
  return user;
}

absl::StatusOr<std::unique_ptr<SuperUserFile>> SuperUserFile::Open(FileSystem& files,
                                                                   const std::string& name,
                                                                   const std::string& path) {
  ASSIGN_OR_RETURN(User user, Read(files, name, path));
  return std::unique_ptr<SuperUserFile>(
      new SuperUserFile(files, path, std::make_shared<const User>(std::move(user))));
}

SuperUserFile::SuperUserFile(FileSystem& files, std::string path, std::shared_ptr<const User> user)
    : files_(files), path_(std::move(path)), user_(std::move(user)), thread_([this] { Loop(); }) {}

SuperUserFile::~SuperUserFile() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.Signal();
  }
  thread_.join();
}

std::shared_ptr<const User> SuperUserFile::user() const {
  MutexLock lock(mutex_);
  return user_;
}

std::shared_ptr<const User> SuperUserFile::Find(std::string_view name) const {
  std::shared_ptr<const User> found = user();
  return found->name == name ? found : nullptr;
}

void SuperUserFile::Loop() {
  pthread_setname_np(pthread_self(), "super user");
  for (;;) {
    {
      const auto deadline = std::chrono::steady_clock::now() + kLookInterval;
      MutexLock lock(mutex_);
      while (!stopping_ && stop_.WaitUntil(mutex_, deadline)) {
      }
      if (stopping_) return;
    }
    Look();
  }
}

void SuperUserFile::Look() {
  const std::shared_ptr<const User> known = user();
  absl::StatusOr<User> read = Read(files_, known->name, path_);
  if (!read.ok()) {
    if (!std::exchange(failing_, true)) {
      log::Error("the secret of {} stays as it is: {}", known->name,
                 std::string(read.status().message()));
    }
    return;
  }
  failing_ = false;
  if (read->secret == known->secret) return;
  log::Info("the secret of {} has changed in {}", known->name, path_);
  auto changed = std::make_shared<const User>(*std::move(read));
  {
    MutexLock lock(mutex_);
    user_ = std::move(changed);
  }
  version_.fetch_add(1, std::memory_order_release);
}

}  // namespace dunlin::broker
