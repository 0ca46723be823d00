// Ledger: the database whose changes the transactions of the bench are about; shared memory of the
// bench and of its producers, which are processes of their own, so that a producer that is killed
// takes nothing with it.
//
// An item is one transaction: begun once, decided once, by its producer or by whoever is asked
// about it. Thread-safe.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin::e2e::transactions {

enum class State : uint8_t {
  kUntouched,
  kBegun,  // its half message is about to be sent, or was
  kCommitted,
  kRolledBack,
};

class Ledger {
 public:
  static absl::StatusOr<std::unique_ptr<Ledger>> Create(const std::string& path, int32_t items);
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(const std::string& path);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Begins the next item; items() or more: there is none left.
  int32_t Begin();
  // Decides an item that was begun, unless it is decided; what it is now.
  State Decide(int32_t item, bool commit);
  State Get(int32_t item) const { return states_[item].load(); }
  int32_t items() const { return head_->items; }
  int32_t begun() const;

  // A producer has seen what must not be; the first one counts.
  void Violate(int32_t item);
  absl::Status Verdict() const;

  // What producers did to each other and to themselves.
  struct Deeds {
    std::atomic<int64_t> prepared{0};
    std::atomic<int64_t> unanswered{0};      // halves, of which nobody knows whether they are there
    std::atomic<int64_t> left_undecided{0};  // on purpose
    std::atomic<int64_t> left_decided{0};    // likewise, before the broker was told
    std::atomic<int64_t> ended{0};
    std::atomic<int64_t> asked{0};
    std::atomic<int64_t> put_off{0};   // questions that were not answered on purpose
    std::atomic<int64_t> contrary{0};  // ends that were refused as they must be
  };
  Deeds& deeds() { return head_->deeds; }
  const Deeds& deeds() const { return head_->deeds; }

 private:
  struct Head {
    int32_t items = 0;
    std::atomic<int32_t> next{0};
    std::atomic<int32_t> violated{-1};
    Deeds deeds;
  };

  static absl::StatusOr<std::unique_ptr<Ledger>> Map(const std::string& path, size_t bytes,
                                                     bool create);
  Ledger(void* memory, size_t bytes);

  void* const memory_;
  const size_t bytes_;
  Head* const head_;
  std::atomic<State>* const states_;
};

}  // namespace dunlin::e2e::transactions
