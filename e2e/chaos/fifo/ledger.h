// Ledger: what was processed of each message group; shared memory of the bench and of its
// consumers, which are processes of their own, so that a consumer that is killed takes nothing with
// it.
//
// The file is made by the bench and mapped by all. Every operation is atomic: consumers of one
// message group meet here, and whoever overtakes is found at once. Thread-safe.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin::e2e::fifo {

class Ledger {
 public:
  // `per_group` messages, numbered from 0, are to come of each of `groups` message groups.
  static absl::StatusOr<std::unique_ptr<Ledger>> Create(const std::string& path, int32_t groups,
                                                        int32_t per_group);
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(const std::string& path);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // A message was processed, and is about to be acknowledged. DATA_LOSS, which Verdict() tells the
  // bench as well, when one before it was not.
  absl::Status Process(int32_t group, int32_t number);
  // The first violation of all consumers.
  absl::Status Verdict() const;

  int32_t groups() const { return head_->groups; }
  int32_t per_group() const { return head_->per_group; }
  // How many of a message group were processed.
  int32_t processed(int32_t group) const { return next_[group].load(); }
  int64_t left() const { return head_->left.load(); }

  // What consumers did to each other and to themselves.
  struct Deeds {
    std::atomic<int64_t> processed_again{0};
    std::atomic<int64_t> refused{0};     // came again on purpose
    std::atomic<int64_t> forgotten{0};   // left to their leases
    std::atomic<int64_t> repeated{0};    // receives, with the same attempt id
    std::atomic<int64_t> by_streams{0};  // processed by members that use Subscribe
  };
  Deeds& deeds() { return head_->deeds; }
  const Deeds& deeds() const { return head_->deeds; }

 private:
  struct Head {
    int32_t groups = 0;
    int32_t per_group = 0;
    std::atomic<int64_t> left{0};
    Deeds deeds;
    // The first violation: 0 none, 1 being written, 2 there.
    std::atomic<int32_t> violated{0};
    int32_t bad_group = 0;
    int32_t bad_number = 0;
    int32_t bad_expected = 0;
  };

  static absl::StatusOr<std::unique_ptr<Ledger>> Map(const std::string& path, size_t bytes,
                                                     bool create);
  Ledger(void* memory, size_t bytes);

  void* const memory_;
  const size_t bytes_;
  Head* const head_;
  std::atomic<int32_t>* const next_;
};

}  // namespace dunlin::e2e::fifo
