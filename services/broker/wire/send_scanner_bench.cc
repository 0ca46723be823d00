// What a request costs before it is stored, and a delivery before it is sent.

#include <benchmark/benchmark.h>

#include <string>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/testing/measure.h"
#include "services/broker/wire/delivered_message.h"
#include "services/broker/wire/send_scanner.h"
#include "services/broker/wire/testing/random_message.h"

namespace dunlin::broker {
namespace {

void ScanOne(benchmark::State& state) {
  const std::string request = SerializeSend(UsualMessage(static_cast<size_t>(state.range(0))));
  Measure(state, 256, [&] {
    auto send = ScanSend(request);
    benchmark::DoNotOptimize(send);
  });
}
BENCHMARK(ScanOne)->Arg(128)->Arg(1024)->Arg(65536);

// What it replaces.
void ParseOne(benchmark::State& state) {
  const std::string request = SerializeSend(UsualMessage(static_cast<size_t>(state.range(0))));
  for (auto _ : state) {
    apache::rocketmq::v2::SendMessageRequest parsed;
    benchmark::DoNotOptimize(parsed.ParseFromString(request));
  }
}
BENCHMARK(ParseOne)->Arg(128)->Arg(1024)->Arg(65536);

void DeliverOne(benchmark::State& state) {
  const Stored stored = Store(UsualMessage(static_cast<size_t>(state.range(0))));
  Overlay overlay;
  overlay.topic_name = "orders";
  overlay.store_host = "broker-a";
  overlay.receipt_handle = "a handle of about sixty-four bytes, as they usually are, or so..";
  Measure(state, 256, [&] {
    auto delivered = MakeDelivered(stored.payload, stored.properties_offset, overlay);
    benchmark::DoNotOptimize(delivered);
  });
}
BENCHMARK(DeliverOne)->Arg(128)->Arg(1024)->Arg(65536);

}  // namespace
}  // namespace dunlin::broker

BENCHMARK_MAIN();
