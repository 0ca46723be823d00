#include <fmt/format.h>
#include <sys/resource.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/producer.h"
#include "dunlin/pull_consumer.h"

#include "clients/load/connect.h"
#include "clients/load/load.h"
#include "clients/load/pacer.h"
#include "clients/load/spread_load.h"
#include "services/base/mutex.h"

namespace dunlin::load {
namespace {

using std::chrono::milliseconds;

// Messages between two looks at whether any of them was stored.
constexpr uint64_t kLook = 1024;
// Delivery times are whole milliseconds of civil time, latencies are measured by another clock.
constexpr milliseconds kClockSlack{2};

}  // namespace

absl::StatusOr<Client> Connect(const Target& target) {
  ClientOptions options;
  options.endpoint = target.endpoint;
  options.name_space = target.name_space;
  options.access_key = target.credentials.access_key;
  options.secret_key = target.credentials.secret_key;
  if (target.tls) options.tls = Tls::kVerified;
  if (!target.tls_ca.empty()) {
    std::stringstream pem;
    pem << std::ifstream(target.tls_ca).rdbuf();
    options.tls_ca = pem.str();
  }
  return Client::Connect(options);
}

namespace {

// What the producer reports, from threads of its connection.
class Tally {
 public:
  explicit Tally(bool measure) : measure_(measure) {}

  void Add(const DeliveryReport& report) {
    MutexLock lock(mutex_);
    if (!report.status.ok()) {
      if (errors_ == 0) first_ = report.status;
      errors_ += report.count;
      return;
    }
    messages_ += report.count;
    if (measure_) latency_.Add(Clock::now() - report.begun, report.count);
  }
  // Of an open loop.
  void Add(uint64_t number, Clock::time_point due, const absl::Status& status, Outcomes* outcomes) {
    const bool unknown = absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
    MutexLock lock(mutex_);
    if (status.ok()) latency_.Add(Clock::now() - due);
    if (outcomes == nullptr) return;
    outcomes->Set(number, status.ok() ? Outcomes::kStored
                          : unknown   ? Outcomes::kUnknown
                                      : Outcomes::kNotStored);
  }
  uint64_t Messages() const {
    MutexLock lock(mutex_);
    return messages_;
  }
  // What refuses everything: there is no use in going on.
  absl::Status Hopeless() const {
    MutexLock lock(mutex_);
    return messages_ == 0 ? first_ : absl::OkStatus();
  }
  void Fill(LoadResult& result) const {
    MutexLock lock(mutex_);
    result.messages = messages_;
    result.errors = errors_;
    if (errors_ > 0) result.first_error = first_.ToString();
    result.latency = latency_;
  }

 private:
  const bool measure_;
  mutable Mutex mutex_;
  uint64_t messages_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t errors_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status first_ ABSL_GUARDED_BY(mutex_);  // error
  Histogram latency_ ABSL_GUARDED_BY(mutex_);
};

std::vector<std::string> TopicsOf(const ProduceOptions& options) {
  std::vector<std::string> topics;
  for (uint32_t i = 0; i < options.spread.topics; ++i) {
    topics.push_back(Spread::TopicName(options.target.topic, i));
  }
  return topics;
}

// What a callback of an open loop needs besides the message's number; outlives the producer.
struct OpenLoop {
  Tally& tally;
  Pacer& pacer;
  Outcomes* const outcomes;
};

// When each message of a delayed load is to be delivered.
class Delays {
 public:
  explicit Delays(const ProduceOptions& options)
      : delay_(options.delay),
        spread_(static_cast<uint64_t>(options.delay_spread.count())),
        begin_(Clock::now()),
        civil_(std::chrono::floor<milliseconds>(std::chrono::system_clock::now())) {}

  // Since 1970; 0 when none is delayed.
  int64_t FirstMs() const {
    return delay_.count() == 0 ? 0 : (civil_ + delay_).time_since_epoch().count();
  }
  // `due` unless messages are delayed; else when this one is to be delivered.
  Clock::time_point Set(uint64_t number, Clock::time_point due, Message& message) const {
    if (delay_.count() == 0) return due;
    // Far apart for neighbours: the order of sending is not that of delivery.
    const milliseconds further(spread_ == 0 ? 0 : number * 7919 % spread_);
    message.deliver_at = civil_ + delay_ + further;
    return begin_ + delay_ + further;
  }

 private:
  const milliseconds delay_;
  const uint64_t spread_;
  const Clock::time_point begin_;
  const Timestamp civil_;
};

absl::Status SendOne(const ProduceOptions& options, Producer& producer, const Message& message,
                     uint64_t number, OpenLoop& loop) {
  if (options.rate <= 0) return producer.SendAsync(message);
  // Small enough for std::function not to allocate.
  return producer.SendAsync(message, [&loop, number](const absl::StatusOr<Receipt>& receipt) {
    loop.tally.Add(number, loop.pacer.DueOf(number), receipt.status(), loop.outcomes);
  });
}

bool IsStopped(const ProduceOptions& options) {
  return options.stop != nullptr && options.stop->load(std::memory_order_relaxed);
}

// Returns once all readers are near enough to message `number`, or the load was stopped.
void AwaitReaders(const ProduceOptions& options, uint64_t number) {
  if (options.max_lag == 0) return;
  for (const std::atomic<uint64_t>* reader : options.readers) {
    while (number > reader->load(std::memory_order_relaxed) + options.max_lag &&
           !IsStopped(options)) {
      std::this_thread::sleep_until(Clock::now() + milliseconds(1));
    }
  }
}

absl::Status SendAll(const ProduceOptions& options, Producer& producer, OpenLoop& loop,
                     LoadResult& result) {
  Message message;
  message.topic = options.target.topic;
  message.body.resize(options.body_bytes);
  std::vector<std::string> topics;
  if (options.spread.kind != Spread::Kind::kNone) topics = TopicsOf(options);
  Tally& tally = loop.tally;
  Pacer& pacer = loop.pacer;
  const Delays delays(options);
  result.first_due_ms = delays.FirstMs();
  uint64_t number = 0;
  for (uint64_t next = 0; pacer.Next(number, [&] { return tally.Messages(); }); number = next) {
    next = number + 1;
    absl::Status sent = absl::ResourceExhaustedError("");
    if (!options.shed || producer.pending_bytes() < options.pending_bytes) {
      const Clock::time_point due = delays.Set(number, pacer.due(), message);
      WriteBody(options.run, number, due, message.body.data(), message.body.size());
      if (!topics.empty()) {
        const uint64_t place = options.spread.PlaceOf(options.run, number);
        message.topic = topics[place / options.spread.queues];
        message.queue = static_cast<uint32_t>(place % options.spread.queues);
      }
      sent = SendOne(options, producer, message, number, loop);
    }
    if (options.shed && absl::IsResourceExhausted(sent)) {
      next = pacer.FirstNotDue(number);
      result.shed += next - number;
    } else if (!sent.ok()) {
      return sent;
    }
    if (IsStopped(options)) break;
    if (number % kLook == 0) {
      AwaitReaders(options, number);
      if (absl::Status hopeless = tally.Hopeless(); !hopeless.ok()) return hopeless;
    }
  }
  result.due = number;
  if (absl::Status flushed = producer.Flush(milliseconds(60'000)); !flushed.ok()) return flushed;
  return tally.Hopeless();
}

}  // namespace

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

absl::StatusOr<LoadResult> Produce(const ProduceOptions& options, const OnProgress& progress) {
  absl::StatusOr<Client> client = Connect(options.target);
  if (!client.ok()) return client.status();
  Tally tally(/*measure=*/options.rate <= 0);
  ProducerOptions producer_options;
  producer_options.streams = options.streams;
  producer_options.max_pending_bytes = options.pending_bytes;
  producer_options.block_when_full = !options.shed;
  producer_options.on_delivery = [&tally](const DeliveryReport& report) { tally.Add(report); };
  Pacer pacer(options.rate, options.extent, progress);
  OpenLoop loop{tally, pacer, options.outcomes};
  absl::StatusOr<Producer> producer = client->MakeProducer(producer_options);
  if (!producer.ok()) return producer.status();
  LoadResult result;
  const double cpu = OwnCpuSeconds();
  const Clock::time_point begin = Clock::now();
  const absl::Status sent = SendAll(options, *producer, loop, result);
  result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  result.client_cpu_seconds = OwnCpuSeconds() - cpu;
  if (!sent.ok()) return sent;
  if (const absl::Status closed = producer->Close(milliseconds(5000)); !closed.ok()) return closed;
  tally.Fill(result);
  return result;
}

absl::StatusOr<LoadResult> Consume(const ConsumeOptions& options, const OnProgress& progress) {
  if (!options.spread_runs.empty()) return ConsumeSpread(options, progress);
  absl::StatusOr<Client> client = Connect(options.target);
  if (!client.ok()) return client.status();
  PullConsumerOptions consumer_options;
  consumer_options.max_buffered_bytes = options.buffered_bytes;
  absl::StatusOr<PullConsumer> consumer = client->MakePullConsumer(consumer_options);
  if (!consumer.ok()) return consumer.status();
  const double cpu = OwnCpuSeconds();
  const Clock::time_point begin = Clock::now();
  const absl::StatusOr<uint32_t> queues = consumer->AssignAll(
      options.target.topic, options.from_end ? StartAt::Last() : StartAt::First());
  if (!queues.ok()) return queues.status();
  if (options.on_ready) options.on_ready();
  Ledger ledger = options.outcomes != nullptr
                      ? Ledger(options.run, *options.outcomes, options.ordered)
                      : Ledger(options.run, options.expected, options.ordered);
  LoadResult result;
  Ticker ticker(begin, progress);
  uint64_t read = 0;               // of other runs, too: they may be all that comes for long
  Clock::time_point last = begin;  // one of this run came
  Clock::time_point last_any = begin;
  std::map<std::pair<std::string, uint32_t>, size_t> places;
  const auto enough = [&] {
    if (ledger.complete()) return true;
    return options.final_count != nullptr && ledger.received() >= options.final_count->load();
  };
  while (!enough() && Clock::now() - last_any < options.patience) {
    const absl::StatusOr<MessageBatch> batch = consumer->Poll(milliseconds(100));
    if (!batch.ok()) return batch.status();
    if (batch->empty()) continue;
    const Clock::time_point now = Clock::now();
    last_any = now;
    Body body;
    // Queues of several brokers have the same numbers.
    const auto place = static_cast<uint32_t>(
        places.try_emplace({std::string(batch->broker()), batch->queue()}, places.size())
            .first->second);
    for (const MessageView& message : *batch) {
      ++read;
      const absl::Status entered = ledger.Enter(place, message.body(), body);
      if (!entered.ok()) return entered;
      if (body.run != options.run) continue;
      if (options.delayed && now < body.due - kClockSlack) {
        return absl::DataLossError(fmt::format(
            "message {} came {} us before it was due", body.number,
            std::chrono::duration_cast<std::chrono::microseconds>(body.due - now).count()));
      }
      result.latency.Add(now - body.due);
      last = now;
    }
    if (options.received != nullptr) options.received->store(ledger.received());
    ticker.Tick(now, read);
  }
  result.messages = ledger.received();
  result.seconds = std::chrono::duration<double>(last - begin).count();
  result.client_cpu_seconds = OwnCpuSeconds() - cpu;
  if (options.final_count != nullptr && enough()) return result;
  if (const uint64_t stored = options.final_count != nullptr ? options.final_count->load() : 0;
      stored != 0 && stored != UINT64_MAX) {
    return absl::DataLossError(fmt::format("{} of {} messages that were stored did not come",
                                           stored - ledger.received(), stored));
  }
  if (const absl::Status complete = ledger.CheckComplete(); !complete.ok()) return complete;
  return result;
}

}  // namespace dunlin::load
