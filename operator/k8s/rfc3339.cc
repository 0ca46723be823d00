#include "operator/k8s/rfc3339.h"

#include <fmt/format.h>

#include <chrono>

namespace dunlin::k8s {
namespace {

std::string ToSeconds(Timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss of_day(std::chrono::floor<std::chrono::seconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     of_day.hours().count(), of_day.minutes().count(), of_day.seconds().count());
}

}  // namespace

std::string FormatTime(Timestamp time) { return ToSeconds(time) + "Z"; }

std::string FormatMicroTime(Timestamp time) {
  const auto millis = (time - std::chrono::floor<std::chrono::seconds>(time)).count();
  return fmt::format("{}.{:03}000Z", ToSeconds(time), millis);
}

}  // namespace dunlin::k8s
