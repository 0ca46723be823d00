#include "operator/planner/amounts.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace dunlin::op {
namespace {

absl::Status IsNo(std::string_view what, std::string_view text, std::string_view example) {
  return absl::InvalidArgumentError(fmt::format("'{}' is no {}, such as {}", text, what, example));
}

// The factor of what begins `text`, which is taken off; 0: it is no unit.
int64_t TakeUnit(std::string_view& text) {
  constexpr std::array<std::pair<std::string_view, int64_t>, 4> kUnits = {
      {{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}}};
  for (const auto& [unit, factor] : kUnits) {
    if (!text.starts_with(unit)) continue;
    text.remove_prefix(unit.size());
    return factor;
  }
  return 0;
}

// 0: it is no suffix.
double FactorOf(std::string_view suffix) {
  constexpr std::array<std::string_view, 7> kThousands = {"", "k", "M", "G", "T", "P", "E"};
  constexpr std::array<std::string_view, 6> kBinary = {"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  constexpr std::array<std::string_view, 3> kParts = {"m", "u", "n"};
  for (size_t i = 0; i < kThousands.size(); ++i) {
    if (suffix == kThousands[i]) return std::pow(1000, i);
  }
  for (size_t i = 0; i < kBinary.size(); ++i) {
    if (suffix == kBinary[i]) return std::pow(1024, i + 1);
  }
  for (size_t i = 0; i < kParts.size(); ++i) {
    if (suffix == kParts[i]) return std::pow(0.001, i + 1);
  }
  return 0;
}

}  // namespace

absl::StatusOr<std::chrono::milliseconds> MillisOf(std::string_view duration) {
  std::string_view rest = duration;
  int64_t sum = 0;
  do {
    int64_t count = 0;
    const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), count);
    rest.remove_prefix(static_cast<size_t>(read.ptr - rest.data()));
    const int64_t unit = read.ec == std::errc() && count >= 0 ? TakeUnit(rest) : 0;
    int64_t part = 0;
    if (unit == 0 || __builtin_mul_overflow(count, unit, &part) ||
        __builtin_add_overflow(sum, part, &sum)) {
      return IsNo("length of time", duration, "1h30m");
    }
  } while (!rest.empty());
  return std::chrono::milliseconds(sum);
}

absl::StatusOr<uint64_t> BytesOf(const k8s::Json& quantity) {
  const std::string text =
      quantity.is_string() ? quantity.get<std::string>() : k8s::PrintJson(quantity);
  double number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  const double factor =
      read.ec == std::errc() ? FactorOf({read.ptr, text.data() + text.size()}) : 0;
  const double bytes = std::ceil(number * factor);
  constexpr auto kMost = static_cast<double>(std::numeric_limits<int64_t>::max());
  if (factor == 0 || !(bytes >= 0 && bytes < kMost)) return IsNo("size", text, "10Gi");
  return static_cast<uint64_t>(bytes);
}

absl::StatusOr<Timestamp> MomentOf(std::string_view time) {
  google::protobuf::Timestamp moment;
  if (!google::protobuf::util::TimeUtil::FromString(std::string(time), &moment)) {
    return IsNo("moment", time, "2026-11-20T22:00:00Z");
  }
  return FromUnixMillis(google::protobuf::util::TimeUtil::TimestampToMilliseconds(moment));
}

}  // namespace dunlin::op
