// What a frame of a Publish stream costs before it is stored.

#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "services/base/check.h"
#include "services/base/testing/measure.h"
#include "services/broker/wire/frame_scanner.h"
#include "services/broker/wire/message_fields.h"
#include "services/broker/wire/wire_writer.h"

namespace dunlin::broker {
namespace {

// 340 messages with a body alone.
void ScanFrameOf(benchmark::State& state) {
  std::string message;
  WireWriter(message).Bytes(message_field::kBody,
                            std::string(static_cast<size_t>(state.range(0)), 'x'));
  constexpr int kMessages = 340;
  std::string bytes;
  WireWriter writer(bytes);
  writer.Int(1, 1);  // binding
  writer.Int(2, 1);  // first_sequence
  for (int i = 0; i < kMessages; ++i) writer.Bytes(3, message);
  RawFrame frame;
  RawMessage scanned;
  OwnedBytes owned;
  Measure(state, 64, [&] {
    CHECK(ScanFrame(bytes, frame).ok());
    for (std::string_view one : frame.messages) CHECK(ScanFramed(one, scanned, owned).ok());
    benchmark::DoNotOptimize(scanned);
  });
  CHECK(frame.messages.size() == kMessages);
  state.SetItemsProcessed(state.iterations() * kMessages);
}
BENCHMARK(ScanFrameOf)->Arg(128)->Arg(1024);

}  // namespace
}  // namespace dunlin::broker

BENCHMARK_MAIN();
