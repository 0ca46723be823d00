// How fast the producer is: messages per second, and per second of processor time of this process.
//
//   produce_bench ENDPOINT TOPIC [MESSAGES [BODY_BYTES [callback]]]

#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "dunlin/client.h"
#include "dunlin/producer.h"

namespace dunlin {
namespace {

using std::chrono::steady_clock;

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int Fail(const absl::Status& status) {
  fmt::print(stderr, "{}\n", status.ToString());
  return EXIT_FAILURE;
}

int Run(int argc, char** argv) {
  if (argc < 3) return Fail(absl::InvalidArgumentError("ENDPOINT TOPIC [MESSAGES [BODY_BYTES]]"));
  const int64_t messages = argc > 3 ? std::atoll(argv[3]) : 10'000'000;
  const size_t body_bytes = argc > 4 ? static_cast<size_t>(std::atoll(argv[4])) : 128;
  const bool callback = argc > 5;
  ClientOptions client_options;
  client_options.endpoint = argv[1];
  auto client = Client::Connect(client_options);
  if (!client.ok()) return Fail(client.status());
  std::atomic<int64_t> stored{0};
  std::atomic<int64_t> runs{0};
  ProducerOptions options;
  options.on_delivery = [&](const DeliveryReport& report) {
    runs.fetch_add(1);
    if (report.status.ok()) stored.fetch_add(report.count);
  };
  auto producer = client->MakeProducer(options);
  if (!producer.ok()) return Fail(producer.status());
  Message message;
  message.topic = argv[2];
  message.body.assign(body_bytes, 'x');
  auto first = producer->Send(message);
  if (!first.ok()) return Fail(first.status());

  const double cpu = CpuSeconds();
  const auto begin = steady_clock::now();
  std::atomic<int64_t> called{0};
  for (int64_t i = 0; i < messages; ++i) {
    const absl::Status status =
        callback ? producer->SendAsync(message,
                                       [&called](const absl::StatusOr<Receipt>&) {
                                         called.fetch_add(1, std::memory_order_relaxed);
                                       })
                 : producer->SendAsync(message);
    if (!status.ok()) return Fail(status);
  }
  const absl::Status flushed = producer->Flush(std::chrono::seconds(60));
  if (!flushed.ok()) return Fail(flushed);
  const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
  const double used = CpuSeconds() - cpu;
  const auto count = static_cast<double>(messages);
  fmt::print(
      "{} stored of {} ({} callbacks) in {} runs, {:.2f} s: {:.2f} M/s; {:.2f} M per CPU second\n",
      stored.load() - 1, messages, called.load(), runs.load(), seconds, count / seconds / 1e6,
      count / used / 1e6);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) { return dunlin::Run(argc, argv); }
