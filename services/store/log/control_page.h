// ControlPage: the 4 KiB page that broker and replicator of one store directory share.
//
// Atomics in a mapped file: they survive the process that set them, but are not synced: after a
// loss of power the page may be an older one. All of its offsets only grow, so an older page is a
// lower bound and still true. docs/formats/control_page.md.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

class ControlPage {
 public:
  // Opens or makes the page. One that is not ours (wrong magic, size or check sum) is made anew:
  // it holds nothing that the log does not.
  static absl::StatusOr<std::unique_ptr<ControlPage>> Open(FileSystem& files,
                                                           const std::string& path);
  ~ControlPage();
  ControlPage(const ControlPage&) = delete;
  ControlPage& operator=(const ControlPage&) = delete;

  struct Offsets {
    std::atomic<uint64_t> epoch;
    std::atomic<uint64_t> appended;
    std::atomic<uint64_t> flushed;
    std::atomic<uint64_t> replicated;
    std::atomic<uint64_t> flushed_again;  // second copy: the lower of the two is believed, so that
                                          // a flipped bit cannot promise what is not on disk
  };
  Offsets& offsets() { return *offsets_; }
  LogOffset flushed() const {
    return LogOffset(std::min(offsets_->flushed.load(), offsets_->flushed_again.load()));
  }
  void SetFlushed(LogOffset offset) {
    offsets_->flushed.store(offset.value());
    offsets_->flushed_again.store(offset.value());
  }

 private:
  explicit ControlPage(char* page);

  char* const page_;
  Offsets* const offsets_;
};

}  // namespace dunlin::store
