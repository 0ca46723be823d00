// The fuzz targets on mutated messages, for as long as a unit test may take.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "services/base/bytes.h"
#include "services/broker/wire/testing/fuzz_checks.h"
#include "services/broker/wire/testing/random_message.h"

namespace dunlin::broker {
namespace {

constexpr int kRounds = 20'000;

// Flips, removes, doubles or inserts a few bytes somewhere.
void Mutate(std::mt19937& random, std::string& bytes) {
  for (size_t left = 1 + random() % 3; left > 0; --left) {
    const size_t at = random() % (bytes.size() + 1);
    const size_t size = std::min<size_t>(random() % 16, bytes.size() - at);
    switch (random() % 4) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
        break;
      case 1:
        bytes.erase(at, size);
        break;
      case 2:
        bytes.insert(at, bytes.substr(at, size));
        break;
      default:
        bytes.insert(at, 1, static_cast<char>(random()));
        break;
    }
  }
}

TEST(MutationTest, AnyRequestIsRefusedOrReadAlike) {
  std::mt19937 random(6);
  for (int i = 0; i < kRounds; ++i) {
    std::string request = SerializeSend(RandomMessage(random));
    if (random() % 4 == 0) request += SerializeSend(RandomMessage(random));
    CheckAnySend(request);
    Mutate(random, request);
    CheckAnySend(request);
  }
}

// Mutated within the message, with a length around it that is right.
TEST(MutationTest, AnyMessageIsRefusedOrReadAlike) {
  std::mt19937 random(7);
  for (int i = 0; i < kRounds; ++i) {
    std::string message = RandomMessage(random).SerializeAsString();
    Mutate(random, message);
    CheckAnySend(WrapSend(message));
  }
}

TEST(MutationTest, AnyStoredBytesAreRefusedOrDelivered) {
  std::mt19937 random(8);
  for (int i = 0; i < kRounds; ++i) {
    const Stored stored = Store(RandomMessage(random));
    std::string bytes(sizeof(uint32_t), '\0');
    StoreLittle(bytes.data(), stored.properties_offset);
    bytes += stored.payload;
    CheckAnyStored(bytes);
    Mutate(random, bytes);
    CheckAnyStored(bytes);
  }
}

}  // namespace
}  // namespace dunlin::broker
