// The fuzz targets on mutated filters and messages, for as long as a unit test may take.

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

#include "services/base/bytes.h"
#include "services/broker/filter/testing/fuzz_checks.h"
#include "services/broker/filter/testing/random_filter.h"
#include "services/broker/wire/testing/random_message.h"

namespace dunlin::broker {
namespace {

constexpr int kRounds = 5'000;
constexpr std::string_view kBytes = "()'`-+*/=<>,.0e5nNaA \n\xc3";

// Changes, removes, doubles or inserts a few bytes somewhere.
void Mutate(std::mt19937_64& random, std::string& bytes) {
  for (size_t left = 1 + random() % 3; left > 0; --left) {
    const size_t at = random() % (bytes.size() + 1);
    const size_t size = random() % 16;
    switch (random() % 4) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes.erase(at, size);
        break;
      case 2:
        bytes.insert(at, bytes.substr(at, size));
        break;
      default:
        bytes.insert(at, 1, kBytes[random() % kBytes.size()]);
        break;
    }
  }
}

TEST(SqlMutationTest, AnyExpressionIsRefusedOrObeysLogic) {
  std::mt19937_64 random(1);
  for (int i = 0; i < kRounds; ++i) {
    std::string expression = RandomSampleFilter(random).filter;
    CheckAnySql(expression);
    Mutate(random, expression);
    CheckAnySql(expression);
  }
}

TEST(SqlMutationTest, AnyMessageThatIsTakenIsReadAsAParserWould) {
  std::mt19937_64 random(2);
  for (int i = 0; i < kRounds; ++i) {
    std::string message = RandomSampleMessage(random).message.SerializeAsString();
    CheckAnyProperties(WrapSend(message));
    Mutate(random, message);
    CheckAnyProperties(WrapSend(message));
  }
}

TEST(SqlMutationTest, AnyStoredBytesAreReadOrNot) {
  std::mt19937_64 random(3);
  for (int i = 0; i < kRounds; ++i) {
    const Stored stored = Store(RandomSampleMessage(random).message);
    std::string bytes(sizeof(uint32_t), '\0');
    StoreLittle(bytes.data(), stored.properties_offset);
    bytes += stored.payload;
    Mutate(random, bytes);
    CheckAnyFiltered(bytes);
  }
}

}  // namespace
}  // namespace dunlin::broker
