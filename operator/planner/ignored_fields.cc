#include "operator/planner/ignored_fields.h"

#include <array>
#include <string_view>

#include "operator/k8s/object.h"

namespace dunlin::op {
namespace {

using k8s::Json;

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
  add(k8s::BoolAt(group, {"spec", "monitoring", "podMonitor", "enabled"}, false), "monitoring",
      "podMonitor");
  return ignored;
}

}  // namespace dunlin::op
