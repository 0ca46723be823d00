// Report: the one line of JSON that a benchmark or fault run ends with, and figures it is made of.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace dunlin::e2e {

struct Report {
  std::string bench;
  std::string metric;
  double value = 0;
  std::string unit;
  double bound = 0;
  bool higher_is_better = true;
  std::string violation;  // why the run is void, when it is
  nlohmann::json detail = nlohmann::json::object();
};

// Prints the line; returns the exit status of the program: 0 when the bound is kept and nothing was
// violated.
int Finish(const Report& report);

// The value below which a share of the values lies; 0 when there are none.
double Percentile(std::vector<double> values, double share);

// Milliseconds that a small write and fdatasync take in `directory`, median of 30.
absl::StatusOr<double> FdatasyncMilliseconds(const std::string& directory);

// Processor seconds of this process so far.
double OwnCpuSeconds();

}  // namespace dunlin::e2e
