// What an SQL filter costs: to compile, and to hold a stored message against it.

#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <string_view>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/check.h"
#include "services/base/testing/measure.h"
#include "services/broker/filter/message_filter.h"
#include "services/broker/wire/testing/random_message.h"

namespace dunlin::broker {
namespace {

constexpr std::string_view kUsual =
    "price >= 100 AND region IN ('north', 'west') AND customer IS NOT NULL";

void Compile(benchmark::State& state) {
  Measure(state, 64, [] {
    const auto filter = MessageFilter::Sql(kUsual);
    CHECK(filter.ok());
  });
}
BENCHMARK(Compile);

// A message with four properties and a body of 1 KiB; one in two matches.
void Match(benchmark::State& state, std::string_view expression) {
  const auto filter = MessageFilter::Sql(expression);
  CHECK(filter.ok());
  std::array<Stored, 2> messages;
  for (size_t i = 0; i < messages.size(); ++i) {
    apache::rocketmq::v2::Message message = UsualMessage(1024);
    auto& properties = *message.mutable_user_properties();
    properties["price"] = i == 0 ? "99.5" : "100";
    properties["customer"] = "4711";
    properties["note"] = "fragile, this side up";
    messages[i] = Store(message);
  }
  size_t next = 0;
  size_t searched = 0;
  Measure(state, 1024, [&] {
    const Stored& message = messages[next];
    bool passes = filter->Matches(message.payload, message.properties_offset, searched);
    benchmark::DoNotOptimize(passes);
    next = (next + 1) % messages.size();
  });
}

void Evaluate(benchmark::State& state) { Match(state, kUsual); }
BENCHMARK(Evaluate);

void EvaluateTags(benchmark::State& state) { Match(state, "TAGS = 'paid' AND price >= 100"); }
BENCHMARK(EvaluateTags);

void EvaluateContains(benchmark::State& state) { Match(state, "note CONTAINS 'side'"); }
BENCHMARK(EvaluateContains);

}  // namespace
}  // namespace dunlin::broker

BENCHMARK_MAIN();
