#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <latch>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "clients/cli/commands.h"
#include "clients/cli/credentials.h"
#include "clients/load/load.h"

namespace dunlin::cli {
namespace {

using Json = nlohmann::ordered_json;

struct BenchOptions {
  load::ProduceOptions produce;
  bool v2 = false;
  double seconds = 10;
  uint64_t messages = 0;
  uint64_t run = 0;
  std::vector<uint64_t> stored_runs;
  std::vector<uint64_t> stored_messages;
  std::vector<std::string> spread;  // of each run
  uint32_t topics = 1;
  uint32_t queues = 1;
  double delay_seconds = 0;
  double delay_spread_seconds = 0;
  int consumers = 1;
  bool verify = true;
};

load::Spread SpreadOf(const BenchOptions& options, const std::string& kind) {
  return {kind == "each" ? load::Spread::Kind::kEach : load::Spread::Kind::kRandom, options.topics,
          options.queues};
}

uint64_t AnyRun() {
  std::random_device random;
  return (uint64_t{random()} << 32) | random();
}

load::Target TargetOf(const Connection& connection, const std::string& topic) {
  const GlobalOptions& options = connection.options();
  return {options.endpoint, options.name_space,  options.tls,
          options.tls_ca,   options.credentials, topic};
}

double Micros(std::chrono::nanoseconds latency) {
  return static_cast<double>(latency.count() / 100) / 10;
}

Json ToJson(const load::LoadResult& result) {
  Json json;
  json["messages"] = result.messages;
  json["seconds"] = result.seconds;
  json["rate"] = result.rate();
  json["errors"] = result.errors;
  if (result.errors > 0) json["first_error"] = result.first_error;
  if (result.shed + result.refused > 0) {
    json["due"] = result.due;
    json["shed"] = result.shed;
    json["refused"] = result.refused;
    json["refused_unhinted"] = result.refused_unhinted;
  }
  for (const auto& [name, share] : {std::pair("p50", 0.5), std::pair("p90", 0.9),
                                    std::pair("p99", 0.99), std::pair("p99_9", 0.999)}) {
    json["latency_us"][name] = Micros(result.latency.Quantile(share));
  }
  json["latency_us"]["max"] = Micros(result.latency.max());
  json["client_cpu_seconds"] = result.client_cpu_seconds;
  return json;
}

void Print(const Connection& connection, const char* what, const load::LoadResult& result,
           Json json) {
  if (connection.options().format == Format::kJson) {
    fmt::print("{}\n", json.dump());
    return;
  }
  const load::Histogram& latency = result.latency;
  fmt::print(
      "{}: {} messages in {:.2f} s, {:.0f}/s; p50 {} us, p99 {} us, p99.9 {} us, max {} us; "
      "{} errors{}{}; {:.2f} s of client CPU\n",
      what, result.messages, result.seconds, result.rate(), Micros(latency.Quantile(0.5)),
      Micros(latency.Quantile(0.99)), Micros(latency.Quantile(0.999)), Micros(latency.max()),
      result.errors, result.errors > 0 ? ": " : "", result.first_error, result.client_cpu_seconds);
}

load::OnProgress Shown(const char* what) {
  return [what, before = load::Progress()](const load::Progress& now) mutable {
    const double seconds = static_cast<double>((now.elapsed - before.elapsed).count()) / 1000;
    fmt::print(stderr, "{:6.1f} s  {} {} messages, {:.0f}/s\n",
               static_cast<double>(now.elapsed.count()) / 1000, what, now.messages,
               seconds > 0 ? static_cast<double>(now.messages - before.messages) / seconds : 0);
    before = now;
  };
}

int Fail(const Connection& connection, const absl::Status& status) {
  fmt::print(stderr, "dunlinctl: {}\n", std::string(status.message()));
  if (absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status)) {
    fmt::print(stderr, "{}\n", CredentialsHint(connection.options().credentials));
  }
  if (absl::IsUnavailable(status)) return kUnreachable;
  return absl::IsNotFound(status) ? kNotFound : kRefused;
}

int Misused(const char* how) {
  fmt::print(stderr, "dunlinctl: {}\n", how);
  return kUsage;
}

// What is wrong with the options of a load, which the parser cannot tell; null: nothing.
const char* MisuseOf(const BenchOptions& options) {
  if (options.spread.size() > 1) return "a run has one --spread";
  if (options.v2 && !options.spread.empty()) {
    return "--spread is for streams: v2 names no queue";
  }
  if (options.v2 && options.produce.max_lag > 0) return "--max-lag is for streams";
  const bool paced = options.produce.rate > 0;
  return options.produce.shed && !paced ? "--shed needs a --rate: what is due when" : nullptr;
}

// Set by an interrupt, or by what makes going on useless: a load ends as if its time were up, and
// says what it measured.
std::atomic<bool> interrupted = false;

load::ProduceOptions ProduceOptionsOf(const Connection& connection, const BenchOptions& options) {
  std::signal(SIGINT, [](int) { interrupted = true; });
  load::ProduceOptions produce = options.produce;
  produce.stop = &interrupted;
  produce.target = TargetOf(connection, options.produce.target.topic);
  if (!options.spread.empty()) produce.spread = SpreadOf(options, options.spread.front());
  produce.run = options.run != 0 ? options.run : AnyRun();
  produce.delay = std::chrono::milliseconds(static_cast<int64_t>(options.delay_seconds * 1000));
  produce.delay_spread =
      std::chrono::milliseconds(static_cast<int64_t>(options.delay_spread_seconds * 1000));
  produce.extent.messages = options.messages;
  produce.extent.duration = std::chrono::milliseconds(
      options.messages != 0 ? 0 : static_cast<int64_t>(options.seconds * 1000));
  return produce;
}

absl::StatusOr<load::LoadResult> Send(const BenchOptions& options,
                                      const load::ProduceOptions& produce,
                                      const load::OnProgress& progress) {
  return options.v2 ? load::ProduceV2(produce, progress) : load::Produce(produce, progress);
}

int Produce(Connection& connection, const BenchOptions& options) {
  if (const char* how = MisuseOf(options)) return Misused(how);
  load::ProduceOptions produce = ProduceOptionsOf(connection, options);
  load::Outcomes outcomes;
  if (produce.shed) produce.outcomes = &outcomes;
  const auto result = Send(options, produce, Shown("stored"));
  if (!result.ok()) return Fail(connection, result.status());
  Json json = ToJson(*result);
  json["run"] = produce.run;
  if (result->first_due_ms != 0) json["first_due_ms"] = result->first_due_ms;
  if (options.verify && (result->errors == 0 || produce.shed)) {
    load::ConsumeOptions check;
    check.target = produce.target;
    check.run = produce.run;
    check.expected = result->messages;
    check.outcomes = produce.outcomes;
    if (produce.spread.kind != load::Spread::Kind::kNone) {
      check.spread_runs = {{produce.run, result->messages, produce.spread}};
    }
    check.ordered = !options.v2 && produce.delay.count() == 0;  // calls overtake each other
    check.delayed = produce.delay.count() > 0;
    check.patience += produce.delay + produce.delay_spread;
    const auto checked = load::Consume(check, Shown("read"));
    if (!checked.ok()) return Fail(connection, checked.status());
    json["verified"] = checked->messages;
  }
  Print(connection, "produce", *result, std::move(json));
  return result->errors == 0 ? kOk : kRefused;
}

int Consume(Connection& connection, const BenchOptions& options) {
  load::ConsumeOptions consume;
  consume.target = TargetOf(connection, options.produce.target.topic);
  const size_t runs = options.stored_runs.size();
  const bool spread = !options.spread.empty();
  if (options.stored_messages.size() != runs || (spread && options.spread.size() != runs) ||
      (!spread && runs != 1)) {
    return Misused("name as many --messages as --run; more than one only with a --spread for each");
  }
  consume.run = options.stored_runs.front();
  consume.expected = options.stored_messages.front();
  for (size_t i = 0; spread && i < runs; ++i) {
    consume.spread_runs.push_back(
        {options.stored_runs[i], options.stored_messages[i], SpreadOf(options, options.spread[i])});
  }
  consume.delayed = options.delay_seconds > 0;
  consume.ordered = !consume.delayed;
  consume.patience += std::chrono::milliseconds(static_cast<int64_t>(options.delay_seconds * 1000));
  const auto result = load::Consume(consume, Shown("read"));
  if (!result.ok()) return Fail(connection, result.status());
  Json json = ToJson(*result);
  json["verified"] = result->messages;
  Print(connection, "consume", *result, std::move(json));
  return kOk;
}

// Sends, and reads from the end of the topic meanwhile.
int ProduceAndConsume(Connection& connection, const BenchOptions& options) {
  if (const char* how = MisuseOf(options)) return Misused(how);
  load::ProduceOptions produce = ProduceOptionsOf(connection, options);
  const double most = produce.rate > 0 ? produce.rate * options.seconds * 1.1 + 1000 : 4e9;
  std::atomic<uint64_t> final_count{UINT64_MAX};
  std::vector<std::atomic<uint64_t>> counts(static_cast<size_t>(options.consumers));
  for (const std::atomic<uint64_t>& count : counts) produce.readers.push_back(&count);
  std::vector<absl::StatusOr<load::LoadResult>> received(static_cast<size_t>(options.consumers),
                                                         absl::UnknownError("not started"));
  std::latch ready(static_cast<std::ptrdiff_t>(received.size()));
  std::vector<std::thread> consumers;
  for (size_t i = 0; i < received.size(); ++i) {
    consumers.emplace_back([&, i] {
      load::ConsumeOptions consume;
      consume.target = produce.target;
      consume.run = produce.run;
      consume.expected = options.messages != 0 ? options.messages : static_cast<uint64_t>(most);
      consume.from_end = true;
      consume.ordered = !options.v2;
      consume.final_count = &final_count;
      consume.received = &counts[i];
      bool is_ready = false;
      consume.on_ready = [&] {
        is_ready = true;
        ready.count_down();
      };
      received[i] = load::Consume(consume, {});
      if (!received[i].ok()) interrupted = true;  // what is sent from now on would be for nobody
      if (!is_ready) ready.count_down();          // it failed before
    });
  }
  ready.wait();
  const auto sent = Send(options, produce, Shown("stored"));
  final_count = sent.ok() ? sent->messages : 0;
  for (std::thread& consumer : consumers) consumer.join();
  if (!sent.ok()) return Fail(connection, sent.status());
  load::LoadResult all;
  for (const auto& one : received) {
    if (!one.ok()) return Fail(connection, one.status());
    if (one->messages != sent->messages) {
      return Fail(connection,
                  absl::DataLossError(fmt::format("{} messages were stored and {} received",
                                                  sent->messages, one->messages)));
    }
    all.messages += one->messages;
    all.latency.Merge(one->latency);
  }
  all.seconds = sent->seconds;
  all.errors = sent->errors;
  all.first_error = sent->first_error;
  all.client_cpu_seconds = sent->client_cpu_seconds;
  Json json = ToJson(all);
  json["verified"] = all.messages;
  json["produce"] = ToJson(*sent);
  Print(connection, "publish to delivery", all, std::move(json));
  return all.errors == 0 ? kOk : kRefused;
}

void AddTopicOption(CLI::App& app, BenchOptions& options) {
  app.add_option("TOPIC", options.produce.target.topic,
                 "A topic that exists: `dunlinctl topic create`, with as many queues as wanted")
      ->required();
}

void AddSpreadOptions(CLI::App& app, BenchOptions& options) {
  app.add_option("--spread", options.spread,
                 "Over all queues of TOPIC-0, TOPIC-1, ...: to one after the other, or to any")
      ->check(CLI::IsMember({"each", "random"}))
      ->allow_extra_args(false);
  app.add_option("--topics", options.topics, "Of --spread: how many topics")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--queues", options.queues, "Of --spread: how many queues each has")
      ->check(CLI::Range(1, 65'535))
      ->capture_default_str();
}

void AddSendOptions(CLI::App& app, BenchOptions& options) {
  AddTopicOption(app, options);
  load::ProduceOptions& produce = options.produce;
  app.add_option("--size", produce.body_bytes, "Bytes of a body")
      ->check(CLI::Range(load::kMinBody, size_t{4} << 20))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "How long")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--messages", options.messages, "How many, instead of how long")
      ->check(CLI::PositiveNumber);
  app.add_option(
         "--rate", produce.rate,
         "Messages per second, at fixed times (open loop); as fast as it goes when left out")
      ->check(CLI::PositiveNumber);
  app.add_flag(
      "--shed", produce.shed,
      "With --rate: leave out what cannot be sent when it is due, instead of sending late");
  app.add_flag("--ignore-hints", produce.ignore_hints,
               "Of v2, with --shed: go on at once when the broker is too busy and asks to wait");
  app.add_option_function<std::string>(
         "--api", [&options](const std::string& name) { options.v2 = name == "v2"; },
         "Dunlin's streams, or SendMessage of apache.rocketmq.v2, to any server of it")
      ->check(CLI::IsMember({"stream", "v2"}))
      ->default_str("stream");
  app.add_option("--delay-seconds", options.delay_seconds,
                 "Of streams: deliver so long after the start, to a topic of kind DELAY")
      ->check(CLI::PositiveNumber);
  app.add_option("--delay-spread-seconds", options.delay_spread_seconds,
                 "With --delay-seconds: spread the delivery times over so long behind it")
      ->check(CLI::PositiveNumber);
  app.add_option("--streams", produce.streams, "Connections")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--pending", produce.pending_bytes, "Of streams: bytes not answered yet, at most")
      ->capture_default_str();
  app.add_option("--outstanding", produce.outstanding, "Of v2: calls at a time")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--batch", produce.batch, "Of v2: messages per call")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
}

void AddLagOption(CLI::App& app, BenchOptions& options) {
  app.add_option("--max-lag", options.produce.max_lag,
                 "Of streams: wait while a consumer is more than so many messages behind; never "
                 "when left out")
      ->check(CLI::PositiveNumber);
}

}  // namespace

void AddBenchCommands(CLI::App& app, Command& command) {
  CLI::App& bench =
      *app.add_subcommand("bench", "Load a broker and measure it; every message is checked");
  bench.require_subcommand(1);
  auto options = std::make_shared<BenchOptions>();
  const auto add = [&](const char* name, const char* description,
                       int (*run)(Connection&, const BenchOptions&)) -> CLI::App& {
    CLI::App& one = *bench.add_subcommand(name, description);
    one.callback([options, run, &command] {
      command = [options, run](Connection& connection) { return run(connection, *options); };
    });
    return one;
  };
  CLI::App& produce = add("produce", "Send; latency is that of the acknowledgement", &Produce);
  AddSendOptions(produce, *options);
  AddSpreadOptions(produce, *options);
  produce.add_flag("!--no-verify", options->verify, "Do not read everything back afterwards");
  produce.add_option("--run", options->run, "Number of the run, for `bench consume`");
  produce.footer(
      "\nExamples:\n  dunlinctl bench produce load --seconds 10\n"
      "  dunlinctl bench produce load --rate 50000 --size 1024 -o json\n"
      "  dunlinctl bench produce load --api v2 --outstanding 64");
  CLI::App& consume = add("consume", "Read what a run of `bench produce` stored", &Consume);
  AddTopicOption(consume, *options);
  AddSpreadOptions(consume, *options);
  consume.add_option("--run", options->stored_runs, "Number of a run: `run` of its JSON")
      ->required()
      ->allow_extra_args(false);
  consume.add_option("--messages", options->stored_messages, "How many it stored")
      ->required()
      ->allow_extra_args(false);
  consume
      .add_option("--delay-seconds", options->delay_seconds,
                  "They are delayed, and the last one is due so long from now")
      ->check(CLI::PositiveNumber);
  CLI::App& end_to_end =
      add("end-to-end", "Send and receive; latency is from when a message was due to its delivery",
          &ProduceAndConsume);
  AddSendOptions(end_to_end, *options);
  AddLagOption(end_to_end, *options);
  CLI::App& fan_out =
      add("fan-out", "As end-to-end, with several consumers that each get everything",
          &ProduceAndConsume);
  AddSendOptions(fan_out, *options);
  AddLagOption(fan_out, *options);
  fan_out.add_option("--consumers", options->consumers, "How many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace dunlin::cli
