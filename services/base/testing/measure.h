// Measure: the loop of a benchmark whose instructions can be counted as well as timed.
//
// Run with --benchmark_min_time=0, a benchmark makes exactly one batch; callgrind, told to collect
// inside CountedBatch only, then sees that batch and none of the preparations (docs/testing.md).

#pragma once

#include <benchmark/benchmark.h>

namespace dunlin {

template <typename Operation>
[[gnu::noinline]] void CountedBatch(Operation& operation, int times) {
  for (int i = 0; i < times; ++i) operation();
}

// Times `operation`, `batch` of them at a time; `between` runs before each batch, and counts for
// nothing. One batch goes before the first to warm up: then all memory is there that is reused.
template <typename Operation, typename Between>
void Measure(benchmark::State& state, int batch, Operation operation, Between between) {
  between();
  for (int i = 0; i < batch; ++i) operation();
  between();
  while (state.KeepRunningBatch(batch)) {
    CountedBatch(operation, batch);
    state.PauseTiming();
    between();
    state.ResumeTiming();
  }
}

template <typename Operation>
void Measure(benchmark::State& state, int batch, Operation operation) {
  for (int i = 0; i < batch; ++i) operation();
  while (state.KeepRunningBatch(batch)) CountedBatch(operation, batch);
}

}  // namespace dunlin
