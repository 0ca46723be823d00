#include "operator/planner/ignored_fields.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace dunlin::op {
namespace {

using k8s::Json;

std::string Ignored(const std::string& spec) {
  Observed observed;
  Json group;
  group["spec"] = Json::parse(spec);
  observed.group = std::make_shared<const Json>(std::move(group));
  return IgnoredFields(observed);
}

TEST(IgnoredFieldsTest, DefaultsAreWhatIsTheCase) {
  EXPECT_EQ(Ignored("{}"), "");
  EXPECT_EQ(Ignored(R"({"replication": {"maxLagSeconds": 15},
                        "failover": {"mode": "Automatic", "delaySeconds": 0,
                                     "minIntervalSeconds": 30, "switchoverTimeoutSeconds": 30,
                                     "allowUncleanElection": false},
                        "expose": {"type": "ClusterIP"},
                        "monitoring": {"podMonitor": {"enabled": false}}})"),
            "");
}

TEST(IgnoredFieldsTest, EachThatHasNoEffectIsNamed) {
  EXPECT_EQ(Ignored(R"({"replication": {"maxLagSeconds": 5}, "failover": {"delaySeconds": 1}})"),
            "replication.maxLagSeconds, failover.delaySeconds");
  EXPECT_EQ(Ignored(R"({"failover": {"minIntervalSeconds": 0, "switchoverTimeoutSeconds": 9,
                                     "mode": "Manual", "allowUncleanElection": true}})"),
            "failover.minIntervalSeconds, failover.switchoverTimeoutSeconds, failover.mode, "
            "failover.allowUncleanElection");
  EXPECT_EQ(Ignored(R"({"failover": {"mode": "Manual", "coordinator": {"type": "Static"}}})"), "");
  EXPECT_EQ(Ignored(R"({"failover": {"coordinator": {"etcd": {"tlsSecretName": "etcd"}}}})"),
            "failover.coordinator.etcd.tlsSecretName");
  EXPECT_EQ(Ignored(R"({"expose": {"type": "NodePort"},
                        "monitoring": {"podMonitor": {"enabled": true}}})"),
            "monitoring.podMonitor");
}

}  // namespace
}  // namespace dunlin::op
