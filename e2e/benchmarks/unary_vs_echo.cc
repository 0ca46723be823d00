// unary-vs-echo: how much of the rate of a bare gRPC server SendMessage reaches.
//
// The other server parses the same request and answers a fixed response, and keeps nothing. Both
// run all the time and take turns under load (A B, B A, ...), so that what else the machine does
// hits both; the ratio is taken pair by pair.

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/grpcpp.h"

#include "e2e/harness/arguments.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/harness/read_back.h"
#include "e2e/harness/report.h"
#include "e2e/harness/server_process.h"
#include "e2e/harness/v2_client.h"
#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uint32_t kOutstanding = 64;
constexpr uint32_t kChannels = 4;
constexpr size_t kBodyBytes = 128;
constexpr double kBound = 0.80;
constexpr char kTopic[] = "unary";

class EchoService final : public v2::MessagingService::CallbackService {
 public:
  grpc::ServerUnaryReactor* SendMessage(grpc::CallbackServerContext* context,
                                        const v2::SendMessageRequest* /*request*/,
                                        v2::SendMessageResponse* response) override {
    response->mutable_status()->set_code(v2::OK);
    v2::SendResultEntry& entry = *response->add_entries();
    entry.mutable_status()->set_code(v2::OK);
    entry.set_message_id("0100000000000000000000000000000000");
    entry.set_offset(1);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int ServeEcho() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  EchoService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::printf("echo is ready on 127.0.0.1:%d\n", port);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown();
  return 0;
}

// A server under load, turn by turn.
struct Side {
  std::string name;
  std::unique_ptr<ServerProcess> server;
  History history;
  std::vector<double> rates;
  double server_cpu_seconds = 0;
  double client_cpu_seconds = 0;
  uint64_t acked = 0;

  absl::StatusOr<double> TakeTurn(milliseconds duration) {
    const double server_cpu = server->CpuTime().count();
    const double client_cpu = OwnCpuSeconds();
    Load load(history, server->address(), kTopic, kChannels);
    Pause(duration / 10);
    const uint64_t before = load.acked();
    const auto start = steady_clock::now();
    Pause(duration);
    const uint64_t after = load.acked();
    const std::chrono::duration<double> elapsed = steady_clock::now() - start;
    RETURN_IF_ERROR(load.Stop());
    acked += load.acked();
    server_cpu_seconds += server->CpuTime().count() - server_cpu;
    client_cpu_seconds += OwnCpuSeconds() - client_cpu;
    rates.push_back(static_cast<double>(after - before) / elapsed.count());
    return rates.back();
  }

  nlohmann::json Describe() const {
    const auto micros = [this](double seconds) {
      return acked == 0 ? 0.0 : seconds * 1e6 / static_cast<double>(acked);
    };
    return {{"median_per_second", Percentile(rates, 0.5)},
            {"min_per_second", Percentile(rates, 0)},
            {"max_per_second", Percentile(rates, 1)},
            {"acked", acked},
            {"server_cpu_us_per_message", micros(server_cpu_seconds)},
            {"client_cpu_us_per_message", micros(client_cpu_seconds)},
            {"server_rss_mib", server->ResidentMebibytes()}};
  }
};

absl::Status Measure(const Arguments& arguments, Report& report) {
  const std::string data = arguments.directory + "/data";
  ASSIGN_OR_RETURN(auto dunlin, ServerProcess::Start(DunlinCommand({.program = arguments.program,
                                                                    .data_dir = data,
                                                                    .segment_size_bytes = 1 << 28}),
                                                     arguments.directory + "/dunlin.log"));
  ASSIGN_OR_RETURN(auto echo, ServerProcess::Start({"/proc/self/exe", "--serve-echo"},
                                                   arguments.directory + "/echo.log"));
  V2Client client(dunlin->address());
  RETURN_IF_ERROR(client.QueryRoute(kTopic).status());
  Side ours{"dunlin", std::move(dunlin), History(arguments.seed, kOutstanding, kBodyBytes), {}};
  Side theirs{"echo", std::move(echo), History(arguments.seed, kOutstanding, kBodyBytes), {}};
  for (Side* side : {&ours, &theirs}) {
    RETURN_IF_ERROR(side->TakeTurn(milliseconds(1000)).status());
    side->rates.clear();
  }

  const milliseconds turn(arguments.quick ? 2000 : 5000);
  const uint64_t pairs = arguments.count != 0 ? arguments.count : arguments.quick ? 4 : 6;
  std::vector<double> ratios;
  for (uint64_t pair = 0; pair < pairs; ++pair) {
    const bool ours_first = pair % 2 == 0;
    for (Side* side : {ours_first ? &ours : &theirs, ours_first ? &theirs : &ours}) {
      ASSIGN_OR_RETURN(const double rate, side->TakeTurn(turn));
      Progress(fmt::format("pair {} of {}: {} {:.0f} msg/s", pair + 1, pairs, side->name, rate));
    }
    ratios.push_back(ours.rates.back() / theirs.rates.back());
  }
  report.value = Percentile(ratios, 0.5);
  report.detail["ratio_min"] = Percentile(ratios, 0);
  report.detail["ratio_max"] = Percentile(ratios, 1);
  report.detail["pairs"] = pairs;
  report.detail["turn_ms"] = turn.count();
  report.detail["outstanding"] = kOutstanding;
  report.detail["channels"] = kChannels;
  report.detail["body_bytes"] = kBodyBytes;
  report.detail["flush_mode"] = "ASYNC_FLUSH";
  report.detail["dunlin"] = ours.Describe();
  report.detail["echo"] = theirs.Describe();

  Progress(fmt::format("reading {} messages back", ours.history.acked()));
  Reading reading(ours.history);
  RETURN_IF_ERROR(ReadBack(client, kTopic, reading, std::chrono::seconds(60)));
  report.detail["verified"] = reading.observed();
  RETURN_IF_ERROR(theirs.server->Stop());
  RETURN_IF_ERROR(ours.server->Stop());
  ASSIGN_OR_RETURN(report.detail["fdatasync_p50_ms"], FdatasyncMilliseconds(arguments.directory));
  return absl::OkStatus();
}

int Run(const Arguments& arguments) {
  Report report{.bench = "unary-vs-echo", .metric = "throughput", .unit = "ratio", .bound = kBound};
  report.detail["seed"] = arguments.seed;
  report.detail["grpc"] = grpc::Version();
  if (const absl::Status status = Measure(arguments, report); !status.ok()) {
    report.violation = status.ToString();
  }
  CleanUp(arguments, report.violation.empty());
  return Finish(report);
}

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) {
  const dunlin::e2e::Arguments arguments = dunlin::e2e::ParseArguments(
      argc, argv, "SendMessage against a bare gRPC echo of the same messages");
  return arguments.serve_echo ? dunlin::e2e::ServeEcho() : dunlin::e2e::Run(arguments);
}
