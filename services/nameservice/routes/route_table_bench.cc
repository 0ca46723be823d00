// What a name service of a large cluster costs: registration, routes, the fan-out of a change.
//
//   bazel run --config=opt //services/nameservice/routes:route_table_bench

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "services/nameservice/routes/route_queues.h"
#include "services/nameservice/routes/route_table.h"

namespace dunlin::nameservice {
namespace {

constexpr Timestamp kNow = FromUnixMillis(1'700'000'000'000);
constexpr int kTopicsPerRequest = 2'000;

v1::Hello Hello(int broker) {
  v1::Hello hello;
  hello.mutable_identity()->set_broker_group(fmt::format("broker-{:03}", broker));
  hello.mutable_identity()->set_member("0");
  hello.set_cluster("c");
  hello.set_role(v1::MASTER);
  hello.set_epoch(1);
  hello.mutable_endpoints()->add_addresses()->set_host(fmt::format("broker-{:03}.local", broker));
  hello.mutable_endpoints()->mutable_addresses(0)->set_port(8081);
  hello.mutable_topics_version()->set_counter(1);
  return hello;
}

std::string TopicName(int topic) { return fmt::format("orders-of-region-{:06}", topic); }

v1::RegisteredTopic Topic(int topic) {
  v1::RegisteredTopic told;
  told.mutable_topic()->set_name(TopicName(topic));
  told.set_topic_id(static_cast<uint32_t>(topic));
  told.set_queues(8);
  told.set_permission(apache::rocketmq::v2::READ_WRITE);
  told.add_accept_message_types(apache::rocketmq::v2::NORMAL);
  return told;
}

// As a broker sends them.
std::vector<v1::TopicTable> Tables(int topics) {
  std::vector<v1::TopicTable> tables;
  for (int topic = 0; topic < topics; ++topic) {
    if (topic % kTopicsPerRequest == 0) tables.emplace_back().set_first(topic == 0);
    *tables.back().add_topics() = Topic(topic);
  }
  tables.back().set_last(true);
  tables.back().mutable_version()->set_counter(1);
  return tables;
}

void Register(RouteTable& table, int broker, const std::vector<v1::TopicTable>& tables) {
  const SessionId session(static_cast<uint64_t>(broker) + 1);
  Changes changes;
  if (!table.Register(session, Hello(broker), kNow, changes).ok()) std::abort();
  for (const v1::TopicTable& piece : tables) {
    changes = {};
    if (!table.Apply(session, piece, changes).ok()) std::abort();
  }
}

std::unique_ptr<RouteTable> Filled(int topics, int brokers) {
  RouteTable::Options options;
  options.start_grace = std::chrono::milliseconds(0);
  auto table = std::make_unique<RouteTable>(options, kNow);
  const std::vector<v1::TopicTable> tables = Tables(topics);
  for (int broker = 0; broker < brokers; ++broker) Register(*table, broker, tables);
  return table;
}

// All brokers with all topics, into an empty table.
void RegisterAll(benchmark::State& state) {
  const auto topics = static_cast<int>(state.range(0));
  const auto brokers = static_cast<int>(state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(Filled(topics, brokers));
  state.SetItemsProcessed(state.iterations() * topics * brokers);
}
BENCHMARK(RegisterAll)->Args({10'000, 10})->Args({100'000, 100})->Unit(benchmark::kMillisecond);

// A broker that comes back unchanged: leaves and says hello.
void ComeBack(benchmark::State& state) {
  const auto table = Filled(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  uint64_t session = 1;
  for (auto _ : state) {
    Changes changes;
    table->Leave(SessionId(session), kNow, changes);
    session += 1'000;
    if (!table->Register(SessionId(session), Hello(0), kNow, changes).ok()) std::abort();
    benchmark::DoNotOptimize(changes);
  }
}
BENCHMARK(ComeBack)->Args({100'000, 10})->Unit(benchmark::kMicrosecond);

// One topic of one broker changes.
void ChangeTopic(benchmark::State& state) {
  const auto table = Filled(100'000, static_cast<int>(state.range(0)));
  v1::TopicChanges change;
  uint64_t counter = 1;
  for (auto _ : state) {
    change.Clear();
    change.mutable_base()->set_counter(counter);
    change.mutable_version()->set_counter(++counter);
    *change.add_changed() = Topic(static_cast<int>(counter % 100'000));
    change.mutable_changed(0)->set_queues(8 + static_cast<uint32_t>(counter % 2));
    Changes changes;
    if (!table->Apply(SessionId(1), change, changes).ok()) std::abort();
    benchmark::DoNotOptimize(changes);
  }
}
BENCHMARK(ChangeTopic)->Arg(1)->Arg(10);

// A master changes hands: whatever the number of topics.
void ChangeMaster(benchmark::State& state) {
  const auto table = Filled(static_cast<int>(state.range(0)), 1);
  v1::Hello hello = Hello(0);
  for (auto _ : state) {
    hello.set_epoch(hello.epoch() + 1);
    Changes changes;
    if (!table->Register(SessionId(1), hello, kNow, changes).ok()) std::abort();
    benchmark::DoNotOptimize(table->FindGroup("broker-000"));
  }
}
BENCHMARK(ChangeMaster)->Arg(1'000)->Arg(100'000);

void QueryRoute(benchmark::State& state) {
  const auto table = Filled(10'000, static_cast<int>(state.range(0)));
  int topic = 0;
  for (auto _ : state) {
    apache::rocketmq::v2::Resource resource;
    resource.set_name(TopicName(topic = (topic + 7919) % 10'000));
    benchmark::DoNotOptimize(QueuesByTurns(table->FindQueues(resource, resource.name(), {})));
  }
}
BENCHMARK(QueryRoute)->Arg(1)->Arg(10)->Arg(100)->Unit(benchmark::kMicrosecond);

// What each watch of a changed topic costs the table.
void FindRoute(benchmark::State& state) {
  const auto table = Filled(10'000, static_cast<int>(state.range(0)));
  const std::string topic = TopicName(4711);
  for (auto _ : state) benchmark::DoNotOptimize(table->FindRoute(topic));
}
BENCHMARK(FindRoute)->Arg(1)->Arg(10)->Arg(100)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace dunlin::nameservice

BENCHMARK_MAIN();
