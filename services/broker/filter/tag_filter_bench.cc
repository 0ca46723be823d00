// What it costs to hold a message against the tags of a subscription.

#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "services/base/check.h"
#include "services/base/testing/measure.h"
#include "services/broker/filter/tag_filter.h"
#include "services/store/index/tag_hash.h"

namespace dunlin::broker {
namespace {

// One message in four is let through; those that are not are known by their hash.
void Filter(benchmark::State& state) {
  const auto filter = TagFilter::Parse("created || paid || shipped || returned");
  CHECK(filter.ok());
  constexpr std::array<std::string_view, 4> kTags = {"shipped", "viewed", "packed", "weighed"};
  std::array<uint32_t, 4> hashes{};
  for (size_t i = 0; i < kTags.size(); ++i) hashes[i] = store::TagHash(kTags[i]);
  size_t next = 0;
  Measure(state, 1024, [&] {
    bool passes = filter->MayMatch(hashes[next]) && filter->Matches(kTags[next]);
    benchmark::DoNotOptimize(passes);
    next = (next + 1) % kTags.size();
  });
}
BENCHMARK(Filter);

}  // namespace
}  // namespace dunlin::broker

BENCHMARK_MAIN();
