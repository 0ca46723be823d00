// How fast the pull consumer is: messages per second, and per second of processor time of this
// process. Reads all queues of the topic from their beginnings.
//
//   pull_bench ENDPOINT TOPIC [MESSAGES]

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdlib>
#include <string>

#include "dunlin/client.h"
#include "dunlin/pull_consumer.h"

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
  if (argc < 3) return Fail(absl::InvalidArgumentError("ENDPOINT TOPIC [MESSAGES]"));
  const int64_t wanted = argc > 3 ? std::atoll(argv[3]) : 10'000'000;
  ClientOptions client_options;
  client_options.endpoint = argv[1];
  auto client = Client::Connect(client_options);
  if (!client.ok()) return Fail(client.status());
  auto consumer = client->MakePullConsumer(PullConsumerOptions());
  if (!consumer.ok()) return Fail(consumer.status());
  const double cpu = CpuSeconds();
  const auto begin = steady_clock::now();
  const auto queues = consumer->AssignAll(argv[2], StartAt::First());
  if (!queues.ok()) return Fail(queues.status());
  int64_t messages = 0;
  uint64_t bytes = 0;
  int64_t frames = 0;
  while (messages < wanted) {
    const auto batch = consumer->Poll(std::chrono::seconds(5));
    if (!batch.ok()) return Fail(batch.status());
    if (batch->empty()) return Fail(absl::DeadlineExceededError("nothing more comes"));
    for (const MessageView& message : *batch) bytes += message.body().size();
    messages += static_cast<int64_t>(batch->size());
    ++frames;
  }
  const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
  const double used = CpuSeconds() - cpu;
  const auto count = static_cast<double>(messages);
  fmt::print(
      "{} messages, {} bytes of bodies, {} frames, {:.2f} s: {:.2f} M/s; {:.2f} M per CPU second\n",
      messages, bytes, frames, seconds, count / seconds / 1e6, count / used / 1e6);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) { return dunlin::Run(argc, argv); }
