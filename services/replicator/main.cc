// `dunlin-replicator`: the half of a member of a broker group that copies the log and holds the
// role. Composition only: configuration, replicator, signals.

#include <memory>
#include <string_view>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/replicator/replicator.h"
#include "services/runtime/connection_metrics.h"
#include "services/runtime/lifecycle.h"
#include "services/runtime/metrics.h"
#include "services/runtime/program.h"

namespace dunlin {
namespace {

constexpr char kDescription[] =
    "The replicator of a member of a Dunlin broker group: copies the log from the master to its\n"
    "slaves, elects a master, and tells the dunlin-broker beside it (same data directory, same\n"
    "configuration) which role it has.\n";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlin-replicator -c member.yaml                 section replication says which group\n"
    "  dunlin-replicator -c group.yaml --set replication.member=b\n"
    "\nConfiguration: docs/reference/config.md, docs/replication.md. Exit status: 0 stopped as\n"
    "asked, 1 could not start or failed, 2 usage.\n";

absl::Status Serve(const config::v1::DunlinConfig& config) {
  // Before the first thread: all of them inherit which signals are blocked.
  StopSignal stop;
  RaiseOpenFileLimit();
  RETURN_IF_ERROR(MakeDataDirectory(config.data_dir()));
  const SystemClock clock;
  const config::v1::ReplicationConfig& replication = config.replication();
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics,
                   Metrics::Start(replication.metrics_listen_address()));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<replicator::Replicator> replicator,
      replicator::Replicator::Start(config, RealFiles(), clock, [&stop] { stop.Request(); }));
  metrics->Add(std::make_shared<ConnectionMetrics>(replicator->connection_counter()));
  metrics->Add(replicator->metrics());

  AnnounceReady("dunlin-replicator", Listening(replication.listen_address(), replicator->port()),
                Listening(replication.metrics_listen_address(), metrics->port()));
  const std::string_view signal = stop.Wait();
  log::Info("stopping: {}", signal.empty() ? "the log has failed" : signal);
  if (!signal.empty()) replicator->HandOver();
  const absl::Status stopped = replicator->Stop();
  if (stopped.ok() && signal.empty()) return absl::DataLossError("the log has failed");
  return stopped;
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) {
  return dunlin::RunProgram<dunlin::config::v1::DunlinConfig>(
      {"dunlin-replicator", dunlin::kDescription, dunlin::kFooter, "dunlin-data"}, argc, argv,
      dunlin::Serve);
}
