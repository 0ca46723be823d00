// Retention: decides what of the log may go, moves what is still needed, lets the rest go.
//
// By age, by size and by the fill of the disk, and when no queue reaches back so far any more;
// never past the checkpoint and never past the last snapshot. One thread (`retention`) calls
// Step(); tests call it themselves.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"

#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"

namespace dunlin::store {

struct RetentionOptions {
  std::chrono::milliseconds max_age = std::chrono::hours(72);
  uint64_t max_bytes = 0;           // 0: no limit
  uint32_t disk_high_percent = 85;  // above: the oldest segments go, whatever their age
  uint32_t disk_full_percent = 95;  // above: DiskIsFull()
  std::chrono::milliseconds interval{10'000};
};

class Retention {
 public:
  // Starts the thread. `directory`: whose disk counts. All arguments must outlive the retention.
  static std::unique_ptr<Retention> Start(const RetentionOptions& options, CommitLog& log,
                                          Dispatcher& dispatcher, FileSystem& files,
                                          const std::string& directory, const Clock& clock);
  virtual ~Retention() = default;

  // One round. Errors are logged by the thread and tried again in the next round.
  virtual absl::Status Step() = 0;

  // Appends must be refused with a precise status until there is room again. Cheap.
  virtual bool DiskIsFull() const = 0;

  virtual void Stop() = 0;
};

}  // namespace dunlin::store
