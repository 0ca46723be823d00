// What a BrokerGroup says of elections, as members read it.

#include <gmock/gmock.h>

#include <fstream>
#include <string>

#include "operator/k8s/json.h"
#include "operator/planner/plan.h"
#include "operator/planner/testing/planner_fixture.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/config.h"

namespace dunlin::op {
namespace {

using config::v1::ReplicationConfig;
using k8s::Json;
using ::testing::HasSubstr;
using ::testing::Not;

class ElectionsTest : public PlannerFixture {
 protected:
  std::string Text() { return FileOf(Make())["data"]["dunlin.yaml"]; }
  // By the program's own reader.
  ReplicationConfig Read() {
    TempDir directory;
    const std::string path = directory.path() + "/dunlin.yaml";
    std::ofstream(path) << Text();
    config::v1::DunlinConfig config;
    EXPECT_OK(LoadConfig({.file = path, .environment = {}, .overrides = {}}, config));
    return config.replication();
  }
  Json Pod() { return Find(Make(), "StatefulSet/orders")["spec"]["template"]["spec"]; }
};

TEST_F(ElectionsTest, WhatIsAsProgramsHaveItIsLeftOut) {
  group_["spec"]["replication"]["maxLagSeconds"] = 3;
  group_["spec"]["failover"] = Json::parse(
      R"({"mode": "Automatic", "delaySeconds": 0, "minIntervalSeconds": 30,
          "switchoverTimeoutSeconds": 10, "allowUncleanElection": false})");
  for (const char* name : {"max_lag", "election", "switchover"}) {
    EXPECT_THAT(Text(), Not(HasSubstr(name)));
  }
  const ReplicationConfig read = Read();
  EXPECT_EQ(read.max_lag_seconds(), 3U);
  EXPECT_EQ(read.switchover_timeout_seconds(), 10U);
  EXPECT_EQ(read.election_delay_seconds(), 0U);
  EXPECT_EQ(read.unclean_election_after_seconds(), 0U);
  EXPECT_EQ(read.election(), ReplicationConfig::AUTOMATIC);
}

TEST_F(ElectionsTest, WhatTheSpecSaysComesToMembers) {
  group_["spec"]["replication"]["maxLagSeconds"] = 15;
  group_["spec"]["failover"] = Json::parse(
      R"({"delaySeconds": 60, "switchoverTimeoutSeconds": 5, "allowUncleanElection": true})");
  ReplicationConfig read = Read();
  EXPECT_EQ(read.max_lag_seconds(), 15U);
  EXPECT_EQ(read.switchover_timeout_seconds(), 5U);
  EXPECT_EQ(read.election_delay_seconds(), 60U);
  EXPECT_EQ(read.unclean_election_after_seconds(), 30U);
  group_["spec"]["failover"] = Json::parse(R"({"mode": "Manual"})");
  EXPECT_EQ(Read().election(), ReplicationConfig::MANUAL);
  // There nobody is elected anyway.
  group_["spec"]["failover"]["coordinator"]["type"] = "Static";
  EXPECT_EQ(Read().election(), ReplicationConfig::AUTOMATIC);
}

TEST_F(ElectionsTest, EtcdByTls) {
  group_["spec"]["failover"]["coordinator"] =
      Json::parse(R"({"type": "Etcd", "etcd": {"endpoints": ["e:2379"]}})");
  EXPECT_EQ(Read().etcd_ca_file(), "");
  group_["spec"]["failover"]["coordinator"]["etcd"]["tlsSecretName"] = "etcd-client";
  ReplicationConfig read = Read();
  EXPECT_EQ(read.etcd_ca_file(), "/etc/dunlin-etcd/ca.crt");
  EXPECT_EQ(read.etcd_certificate_file(), "/etc/dunlin-etcd/tls.crt");
  EXPECT_EQ(read.etcd_private_key_file(), "/etc/dunlin-etcd/tls.key");
  const Json volume = {{"name", "etcd-tls"},
                       {"secret",
                        {{"secretName", "etcd-client"},
                         {"items", Json::parse(R"([{"key": "ca.crt", "path": "ca.crt"},
                                                   {"key": "tls.crt", "path": "tls.crt"},
                                                   {"key": "tls.key", "path": "tls.key"}])")},
                         {"defaultMode", 0440}}}};
  const Json pod = Pod();
  EXPECT_THAT(pod["volumes"], ::testing::Contains(volume));
  // The broker asks no coordinator.
  const Json mount =
      Json::parse(R"({"name": "etcd-tls", "mountPath": "/etc/dunlin-etcd", "readOnly": true})");
  EXPECT_THAT(pod["containers"][1]["volumeMounts"], ::testing::Contains(mount));
  EXPECT_THAT(pod["containers"][0]["volumeMounts"], Not(::testing::Contains(mount)));

  group_["spec"]["failover"]["coordinator"]["etcd"]["clientCertificate"] = false;
  read = Read();
  EXPECT_EQ(read.etcd_ca_file(), "/etc/dunlin-etcd/ca.crt");
  EXPECT_EQ(read.etcd_certificate_file(), "");
  const Json after = Pod();
  for (const Json& each : after["volumes"]) {
    if (each["name"] == "etcd-tls") EXPECT_EQ(each["secret"]["items"].size(), 1U);
  }
}

}  // namespace
}  // namespace dunlin::op
