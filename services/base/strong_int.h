// StrongInt: an integer whose meaning is its type, so that a log offset is never passed for a
// queue offset. Also the vocabulary of such integers that every room shares.

#pragma once

#include <compare>
#include <cstdint>
#include <utility>

namespace dunlin {

// Explicit to make and to take apart; ordered; steps and distances are plain integers.
template <typename Tag, typename Rep>
class StrongInt {
 public:
  using Representation = Rep;

  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }

  friend constexpr auto operator<=>(StrongInt, StrongInt) = default;
  friend constexpr StrongInt operator+(StrongInt a, Rep step) { return StrongInt(a.value_ + step); }
  friend constexpr StrongInt operator-(StrongInt a, Rep step) { return StrongInt(a.value_ - step); }
  friend constexpr Rep operator-(StrongInt a, StrongInt b) { return a.value_ - b.value_; }
  constexpr StrongInt& operator+=(Rep step) {
    value_ += step;
    return *this;
  }
  constexpr StrongInt& operator++() {
    ++value_;
    return *this;
  }

  template <typename Hash>
  friend Hash AbslHashValue(Hash hash, StrongInt number) {
    return Hash::combine(std::move(hash), number.value_);
  }

 private:
  Rep value_ = 0;
};

// Byte position in the commit log of one broker group; never reused for other bytes of one epoch.
using LogOffset = StrongInt<struct LogOffsetTag, uint64_t>;
// Position of a message in its queue, dense from 0.
using QueueOffset = StrongInt<struct QueueOffsetTag, uint64_t>;
// Generation of the writer of a log; grows by one with each change of hands.
using Epoch = StrongInt<struct EpochTag, uint32_t>;
// Numbers the broker gives to topics and consumer groups when they are created; never reused.
using TopicId = StrongInt<struct TopicIdTag, uint32_t>;
using GroupId = StrongInt<struct GroupIdTag, uint32_t>;

// One queue of one topic.
struct QueueKey {
  TopicId topic;
  uint32_t queue = 0;

  friend constexpr auto operator<=>(const QueueKey&, const QueueKey&) = default;
  template <typename Hash>
  friend Hash AbslHashValue(Hash hash, QueueKey key) {
    return Hash::combine(std::move(hash), key.topic, key.queue);
  }
};

// Queues with these numbers are lightweight topics of their topic: each has a name, and comes and
// goes by itself. The queues that a topic was made with have smaller numbers.
inline constexpr uint32_t kFirstLiteQueue = uint32_t{1} << 16;
constexpr bool IsLite(QueueKey queue) { return queue.queue >= kFirstLiteQueue; }

}  // namespace dunlin
