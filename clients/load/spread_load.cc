#include "clients/load/spread_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "dunlin/pull_consumer.h"

#include "clients/load/connect.h"
#include "clients/load/pacer.h"
#include "services/base/mutex.h"

namespace dunlin::load {
namespace {

constexpr int kReaders = 16;

// Takes one queue after the other from those that are left; one thread each.
class SpreadReader {
 public:
  SpreadReader(const ConsumeOptions& options, const OnProgress& progress)
      : options_(options),
        spread_(options.spread_runs.front().spread),
        ticker_(Clock::now(), progress) {
    for (const SpreadRun& run : options.spread_runs) {
      runs_.try_emplace(run.run, run.spread, Ledger(run.run, run.expected, /*ordered=*/true));
    }
  }

  void Read() {
    if (const absl::Status status = ReadQueues(); !status.ok()) Fail(status);
  }

  absl::Status Fill(LoadResult& result) {
    MutexLock lock(mutex_);
    result.messages = received_;
    result.latency = latency_;
    for (const auto& [number, run] : runs_) failure_.Update(run.ledger.CheckComplete());
    return failure_;
  }

 private:
  absl::Status ReadQueues() {
    const absl::StatusOr<Client> client = Connect(options_.target);
    if (!client.ok()) return client.status();
    absl::StatusOr<PullConsumer> consumer = client->MakePullConsumer({});
    if (!consumer.ok()) return consumer.status();
    while (!failed_.load()) {
      const uint64_t place = next_.fetch_add(1);
      if (place >= spread_.places()) break;
      if (absl::Status read = ReadQueue(*consumer, place); !read.ok()) return read;
    }
    return absl::OkStatus();
  }

  absl::Status ReadQueue(PullConsumer& consumer, uint64_t place) {
    const std::string topic = Spread::TopicName(options_.target.topic, place / spread_.queues);
    const auto queue = static_cast<uint32_t>(place % spread_.queues);
    const absl::StatusOr<QueueBounds> bounds = consumer.Assign(topic, queue, StartAt::First());
    if (!bounds.ok()) return bounds.status();
    for (uint64_t at = bounds->start_offset; at < bounds->max_offset;) {
      const absl::StatusOr<MessageBatch> batch = consumer.Poll(options_.patience);
      if (!batch.ok()) return batch.status();
      if (batch->empty()) {
        return absl::DataLossError(
            fmt::format("queue {} of {} ends at {}, and nothing comes from {} on", queue, topic,
                        bounds->max_offset, at));
      }
      if (absl::Status entered = Enter(place, *batch, at); !entered.ok()) return entered;
    }
    return consumer.Unassign(topic, queue);
  }

  absl::Status Enter(uint64_t place, const MessageBatch& batch, uint64_t& at) {
    const Clock::time_point now = Clock::now();
    Body body;
    MutexLock lock(mutex_);
    for (const MessageView& message : batch) {
      at = message.offset() + 1;
      const auto found = runs_.find(RunOf(message.body()));
      if (found == runs_.end()) continue;
      Run& run = found->second;
      absl::Status entered = run.ledger.Enter(static_cast<uint32_t>(place), message.body(), body);
      if (!entered.ok()) return entered;
      if (run.spread.PlaceOf(body.run, body.number) != place) {
        return absl::DataLossError(
            fmt::format("message {} is in a queue that it was not sent to: {} of {}", body.number,
                        message.queue(), message.topic()));
      }
      latency_.Add(now - body.due);
      ++received_;
    }
    ticker_.Tick(now, received_);
    return absl::OkStatus();
  }

  void Fail(const absl::Status& status) {
    failed_.store(true);
    MutexLock lock(mutex_);
    failure_.Update(status);
  }

  struct Run {
    Run(const Spread& spread_of, Ledger ledger_of)
        : spread(spread_of), ledger(std::move(ledger_of)) {}
    Spread spread;
    Ledger ledger;
  };

  const ConsumeOptions& options_;
  const Spread spread_;  // of the first run: all have the same queues
  std::atomic<uint64_t> next_{0};
  std::atomic<bool> failed_{false};
  Mutex mutex_;
  Ticker ticker_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Run> runs_ ABSL_GUARDED_BY(mutex_);
  uint64_t received_ ABSL_GUARDED_BY(mutex_) = 0;
  Histogram latency_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<LoadResult> ConsumeSpread(const ConsumeOptions& options,
                                         const OnProgress& progress) {
  const double cpu = OwnCpuSeconds();
  const Clock::time_point begin = Clock::now();
  SpreadReader reader(options, progress);
  std::vector<std::thread> threads;
  for (int i = 0; i < kReaders; ++i) threads.emplace_back([&reader] { reader.Read(); });
  for (std::thread& thread : threads) thread.join();
  LoadResult result;
  if (absl::Status filled = reader.Fill(result); !filled.ok()) return filled;
  result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  result.client_cpu_seconds = OwnCpuSeconds() - cpu;
  return result;
}

}  // namespace dunlin::load
