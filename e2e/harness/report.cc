#include "e2e/harness/report.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "services/base/file.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {

int Finish(const Report& report) {
  const bool bound_kept =
      report.higher_is_better ? report.value >= report.bound : report.value <= report.bound;
  const bool ok = bound_kept && report.violation.empty();
  nlohmann::json detail = report.detail;
  if (!report.violation.empty()) detail["violation"] = report.violation;
  const nlohmann::ordered_json line = {{"bench", report.bench},
                                       {"metric", report.metric},
                                       {"value", std::round(report.value * 1000) / 1000},
                                       {"unit", report.unit},
                                       {"bound", report.bound},
                                       {"better", report.higher_is_better ? "higher" : "lower"},
                                       {"ok", ok},
                                       {"detail", detail}};
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
  return ok ? 0 : 1;
}

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

absl::StatusOr<double> FdatasyncMilliseconds(const std::string& directory) {
  const std::string path = directory + "/fdatasync";
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, RealFiles().Open(path, OpenMode::kCreate));
  const std::string block(4096, 'x');
  const std::array<std::string_view, 1> pieces = {block};
  std::vector<double> milliseconds;
  for (uint64_t i = 0; i < 30; ++i) {
    RETURN_IF_ERROR(file->WriteAt(i * block.size(), pieces));
    const auto start = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(file->DataSync());
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  RETURN_IF_ERROR(RealFiles().Remove(path));
  return Percentile(milliseconds, 0.5);
}

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace dunlin::e2e
