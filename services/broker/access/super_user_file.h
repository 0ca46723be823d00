// SuperUserFile: the user whose secret is in a file, access.super_user_secret_file.
//
// One thread (`super user`) looks at the file twice a second. One that cannot be read, or whose
// text is no secret, changes nothing but the log. Thread-safe.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/broker/access/user_source.h"

namespace dunlin::broker {

class SuperUserFile final : public UserSource {
 public:
  // INVALID_ARGUMENT: the name or what is in the file cannot be such; errors of the file. `files`
  // must outlive it.
  static absl::StatusOr<std::unique_ptr<SuperUserFile>> Open(FileSystem& files,
                                                             const std::string& name,
                                                             const std::string& path);
  ~SuperUserFile() override;

  std::shared_ptr<const User> Find(std::string_view name) const override
      ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t version() const override { return version_.load(std::memory_order_acquire); }

 private:
  SuperUserFile(FileSystem& files, std::string path, std::shared_ptr<const User> user);
  static absl::StatusOr<User> Read(FileSystem& files, const std::string& name,
                                   const std::string& path);
  std::shared_ptr<const User> user() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  void Look() ABSL_LOCKS_EXCLUDED(mutex_);

  FileSystem& files_;
  const std::string path_;
  std::atomic<uint64_t> version_{0};
  bool failing_ = false;  // so that it is logged once

  mutable Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const User> user_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dunlin::broker
