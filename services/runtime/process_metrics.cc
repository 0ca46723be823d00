#include "services/runtime/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace dunlin {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Single(const char* name, const char* help, MetricType type, double value) {
  MetricFamily family{.name = name, .help = help, .type = type, .metric = {}};
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return family;
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

std::vector<MetricFamily> ProcessMetrics::Collect() const {
  std::vector<MetricFamily> families;
  uint64_t virtual_pages = 0;
  uint64_t resident_pages = 0;
  if (std::ifstream("/proc/self/statm") >> virtual_pages >> resident_pages) {
    const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
    families.push_back(Single("process_resident_memory_bytes", "Memory in use.", MetricType::Gauge,
                              static_cast<double>(resident_pages) * page));
    families.push_back(Single("process_virtual_memory_bytes", "Address space, maps included.",
                              MetricType::Gauge, static_cast<double>(virtual_pages) * page));
  }
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    families.push_back(Single("process_cpu_seconds_total", "CPU time used.", MetricType::Counter,
                              Seconds(usage.ru_utime) + Seconds(usage.ru_stime)));
  }
  const auto count = [](const char* directory, std::error_code& error) {
    const std::filesystem::directory_iterator entries(directory, error);
    return static_cast<double>(std::distance(begin(entries), end(entries)));
  };
  std::error_code error;
  const double descriptors = count("/proc/self/fd", error) - 1;  // without the one that counts
  if (!error) {
    families.push_back(
        Single("process_open_fds", "Open file descriptors.", MetricType::Gauge, descriptors));
  }
  const double threads = count("/proc/self/task", error);
  if (!error) {
    families.push_back(Single("process_threads", "Threads.", MetricType::Gauge, threads));
  }
  return families;
}

}  // namespace dunlin
