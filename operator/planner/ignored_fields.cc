#include "operator/planner/ignored_fields.h"

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "operator/k8s/object.h"

namespace dunlin::op {
namespace {

using k8s::Json;

// "100Gi" and "0.1Ti" are nearly the same. nullopt: it is no quantity of bytes.
std::optional<double> BytesOf(const Json& quantity) {
  if (quantity.is_number()) return quantity.get<double>();
  if (!quantity.is_string()) return std::nullopt;
  const auto& text = quantity.get_ref<const std::string&>();
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc()) return std::nullopt;
  std::string_view suffix(read.ptr, static_cast<size_t>(text.data() + text.size() - read.ptr));
  if (suffix.empty()) return value;
  constexpr double kBinary = 1024;
  constexpr double kDecimal = 1000;
  const double step = suffix.ends_with('i') ? kBinary : kDecimal;
  if (suffix.ends_with('i')) suffix.remove_suffix(1);
  if (suffix == "k") suffix = "K";
  constexpr std::string_view kSuffixes = "KMGTPE";
  const size_t power = suffix.size() == 1 ? kSuffixes.find(suffix) : std::string_view::npos;
  if (power == std::string_view::npos) return std::nullopt;
  return value * std::pow(step, static_cast<double>(power + 1));
}

// Volumes keep the size with which they were made.
bool IsToGrow(const Observed& observed) {
  if (observed.stateful_set == nullptr) return false;
  const Json* const claims = k8s::Find(*observed.stateful_set, {"spec", "volumeClaimTemplates"});
  const Json* const wanted = k8s::Find(*observed.group, {"spec", "storage", "size"});
  if (claims == nullptr || !claims->is_array() || claims->empty() || wanted == nullptr) {
    return false;
  }
  const Json* const there = k8s::Find(claims->at(0), {"spec", "resources", "requests", "storage"});
  return there != nullptr && BytesOf(*wanted) != BytesOf(*there);
}

// A number that has no effect, and the default that the API server fills in.
struct Number {
  std::string_view section;
  std::string_view field;
  int64_t otherwise;
};

constexpr std::array<Number, 4> kNumbers = {{{"replication", "maxLagSeconds", 15},
                                             {"failover", "delaySeconds", 0},
                                             {"failover", "minIntervalSeconds", 30},
                                             {"failover", "switchoverTimeoutSeconds", 30}}};

}  // namespace

std::string IgnoredFields(const Observed& observed) {
  const Json& group = *observed.group;
  std::string ignored;
  const auto add = [&](bool is_set, std::string_view section, std::string_view field) {
    if (is_set)
      ignored.append(ignored.empty() ? "" : ", ").append(section).append(".").append(field);
  };
  for (const Number& number : kNumbers) {
    add(k8s::IntAt(group, {"spec", number.section, number.field}, number.otherwise) !=
            number.otherwise,
        number.section, number.field);
  }
  // Without elections it is as it says.
  add(k8s::StringAt(group, {"spec", "failover", "mode"}) == "Manual" &&
          k8s::StringAt(group, {"spec", "failover", "coordinator", "type"}) != "Static",
      "failover", "mode");
  add(k8s::BoolAt(group, {"spec", "failover", "allowUncleanElection"}, false), "failover",
      "allowUncleanElection");
  add(!k8s::StringAt(group, {"spec", "failover", "coordinator", "etcd", "tlsSecretName"}).empty(),
      "failover", "coordinator.etcd.tlsSecretName");
  const std::string_view expose = k8s::StringAt(group, {"spec", "expose", "type"});
  add(!expose.empty() && expose != "ClusterIP", "expose", "type");
  add(k8s::BoolAt(group, {"spec", "monitoring", "podMonitor", "enabled"}, false), "monitoring",
      "podMonitor");
  add(IsToGrow(observed), "storage", "size");
  return ignored;
}

}  // namespace dunlin::op
