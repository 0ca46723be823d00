// What every bench has in common: its command line, and the one line of JSON it ends with.

#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include <nlohmann/json.hpp>

namespace dunlin::e2e {

struct Arguments {
  std::string dunlin;      // path of the server
  std::string dump;        // path of dunlin-dump
  std::string broker;      // path of dunlin-broker
  std::string replicator;  // path of dunlin-replicator
  std::string names;       // path of dunlin-nameservice
  std::string cli;         // path of dunlinctl
  std::string echo;        // path of the bare gRPC server
  std::string directory;   // an empty one of this run's own; kept when the run fails
  uint64_t seed = 0;       // of everything random; printed
  int count = 0;           // cycles or items, 0: the bench's own number
  bool quick = false;
  std::string flush;     // "sync" or "async": only this mode; empty: both
  std::string scenario;  // the kinds of faults, separated by commas; empty: all
  std::string mode;      // of a broker group: "ASYNC", "SYNC" or "QUORUM"; empty: the bench's own
};

// Reads the command line and makes the directory; ends the program on a wrong one.
Arguments ParseArguments(int argc, char** argv);

// A line of progress on standard error.
void Progress(std::string_view line);

struct Result {
  std::string bench;
  std::string metric;
  double value = 0;
  std::string unit;
  double bound = 0;
  bool higher_is_better = true;
  nlohmann::ordered_json detail;
};

// Prints the result as one line of JSON on standard output. `verification` not OK voids the run,
// whatever its value, and keeps the directory. Returns the exit status.
int Report(const Arguments& arguments, Result result, const absl::Status& verification);

// What the main of a bench does: `Bench` is made of the arguments, and has Run() and Summary(). It
// is gone, with its programs, mounts and networks, before the report tidies the directory up.
template <typename Bench>
int RunBench(int argc, char** argv) {
  const Arguments arguments = ParseArguments(argc, argv);
  Result result;
  absl::Status status;
  {
    Bench bench(arguments);
    status = bench.Run();
    result = bench.Summary();
  }
  return Report(arguments, std::move(result), status);
}

// What a 4 KiB write and fdatasync take in `directory`, median.
absl::StatusOr<double> FdatasyncMicroseconds(const std::string& directory);

// Of a copy: sorted first. `share` 0.5 is the median.
double Quantile(std::vector<double> values, double share);
double Rounded(double value, int digits);

}  // namespace dunlin::e2e
