// The CRDs on a real API server: what is taken, what is refused and in which words, and what
// kubectl shows.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <string>
#include <vector>

#include "operator/k8s/api_error.h"
#include "operator/k8s/client.h"
#include "operator/k8s/conditions.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/testing/control_plane.h"
#include "operator/k8s/yaml_json.h"
#include "services/base/file.h"
#include "services/base/strings.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::ApiCall;
using k8s::Json;
using k8s::ResourceType;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kSpace = "default";

ResourceType Definitions() {
  return {.group = "apiextensions.k8s.io",
          .version = "v1",
          .plural = "customresourcedefinitions",
          .kind = "CustomResourceDefinition",
          .namespaced = false};
}

std::vector<Json> Load(const std::string& file) {
  const auto text = ReadWholeFile(RealFiles(), "operator/crds/" + file);
  EXPECT_OK(text);
  auto documents = k8s::ParseYamlDocuments(*text, file);
  EXPECT_OK(documents);
  return *std::move(documents);
}

// Faults of whoever writes a resource are to be found when it is written.
ApiCall Strictly(ApiCall call, bool dry_run) {
  call.path += fmt::format("{}fieldValidation=Strict{}",
                           call.path.find('?') == std::string::npos ? '?' : '&',
                           dry_run ? "&dryRun=All" : "");
  return call;
}

class CrdsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    control_plane = new k8s::ControlPlane;
    loop = new k8s::CurlLoop(control_plane->Admin(), "test/1", *new SystemClock);
    client = new k8s::Client(*loop, *loop);
    for (const std::string name :
         {"brokergroups", "consumergroups", "nameservices", "topics", "users"}) {
      for (const Json& definition : Load(name + ".yaml")) {
        const auto applied =
            client->Run(Apply(Definitions(), definition, {.field_manager = "test"}));
        ASSERT_OK(applied);
        types[definition["spec"]["names"]["kind"]] = {
            .group = definition["spec"]["group"],
            .version = definition["spec"]["versions"][0]["name"],
            .plural = definition["spec"]["names"]["plural"],
            .kind = definition["spec"]["names"]["kind"]};
      }
      control_plane->Kubectl(
          {"wait", "--for=condition=Established", "--timeout=60s", "crd/" + name + ".dunlin.dev"});
    }
    for (Json& resource : Load("testdata/valid.yaml")) {
      const std::string name = resource["metadata"]["name"];
      resource["metadata"]["namespace"] = kSpace;
      valid[name] = std::move(resource);
    }
  }
  static void TearDownTestSuite() {
    loop->Stop();
    delete client;
    delete loop;
    delete control_plane;
  }

  static const ResourceType& TypeOf(const Json& resource) {
    return types.at(resource["kind"].get<std::string>());
  }

  // `fields`: by JSON pointer; null takes one away.
  static Json With(Json resource, const Json& fields) {
    for (const auto& [pointer, value] : fields.items()) {
      const Json::json_pointer at(pointer);
      if (value.is_null()) {
        resource[at.parent_pointer()].erase(at.back());
      } else {
        resource[at] = value;
      }
    }
    return resource;
  }

  static k8s::ControlPlane* control_plane;
  static k8s::CurlLoop* loop;
  static k8s::Client* client;
  static std::map<std::string, ResourceType> types;  // by kind
  static std::map<std::string, Json> valid;          // by name
};

k8s::ControlPlane* CrdsTest::control_plane = nullptr;
k8s::CurlLoop* CrdsTest::loop = nullptr;
k8s::Client* CrdsTest::client = nullptr;
std::map<std::string, ResourceType> CrdsTest::types;
std::map<std::string, Json> CrdsTest::valid;

// First in the file: the others find what it made.
TEST_F(CrdsTest, ValidResourcesAreTaken) {
  for (const auto& [name, resource] : valid) {
    const auto made = client->Run(Strictly(Create(TypeOf(resource), resource), false));
    EXPECT_OK(made) << name;
  }
}

TEST_F(CrdsTest, SchemasAreWhole) {
  for (const auto& [kind, type] : types) {
    const auto definition =
        client->Run(Get(Definitions(), {"", fmt::format("{}.{}", type.plural, type.group)}));
    ASSERT_OK(definition);
    const Json& conditions = (*definition)["status"]["conditions"];
    EXPECT_TRUE(k8s::IsConditionTrue(conditions, "Established"));
    EXPECT_TRUE(k8s::IsConditionTrue(conditions, "NamesAccepted"));
    // Not structural, or what the server would rather not have.
    EXPECT_EQ(k8s::FindCondition(conditions, "NonStructuralSchema"), nullptr);
  }
}

TEST_F(CrdsTest, InvalidResourcesAreToldWhatToChange) {
  int cases = 0;
  const std::vector<Json> table = Load("testdata/invalid.yaml");
  for (const Json& entry : table.at(0)) {
    ++cases;
    const Json& base = valid.at(entry["of"].get<std::string>());
    const std::string says = entry["says"];
    k8s::Client::Answer answer;
    if (entry.contains("set")) {
      Json resource = With(base, entry["set"]);
      // Another name, unless the case is about it: what is there already is refused for that.
      if (!entry["set"].contains("/metadata/name")) resource["metadata"]["name"] = "other";
      answer = client->Run(Strictly(Create(TypeOf(base), resource), true));
    } else {
      const auto there = client->Run(Get(TypeOf(base), k8s::KeyOf(base)));
      ASSERT_OK(there);
      answer = client->Run(Strictly(Replace(TypeOf(base), With(*there, entry["then"])), true));
    }
    EXPECT_THAT(answer, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(says)))
        << k8s::PrintJson(entry);
  }
  EXPECT_GE(cases, 200);
}

TEST_F(CrdsTest, WhatIsAllowedLaterIsTaken) {
  const std::vector<std::pair<std::string, Json>> changes = {
      {"group", {{"/spec/storage/size", "200Gi"}}},
      {"group", {{"/spec/replicas", 5}}},
      {"group", {{"/spec/storage/size", "0.1Ti"}}},
      {"names", {{"/spec/replicas", 5}}},
      {"orders", {{"/spec/queues", 4}}},
      {"orders", {{"/spec/kinds", {"Normal", "Delay"}}}},
      {"billing", {{"/spec/paused", true}}},
  };
  for (const auto& [name, fields] : changes) {
    const Json& base = valid.at(name);
    const auto there = client->Run(Get(TypeOf(base), k8s::KeyOf(base)));
    ASSERT_OK(there);
    EXPECT_OK(client->Run(Strictly(Replace(TypeOf(base), With(*there, fields)), true)))
        << name << k8s::PrintJson(fields);
  }
}

TEST_F(CrdsTest, DefaultsAreFilledInAtEveryLevel) {
  const Json& base = valid.at("group");
  const auto group = client->Run(Get(TypeOf(base), k8s::KeyOf(base)));
  ASSERT_OK(group);
  const Json& spec = (*group)["spec"];
  EXPECT_EQ(spec["clusterName"], "DefaultCluster");
  EXPECT_EQ(spec["replication"],
            Json::parse(R"({"mode": "Sync", "flush": "Async", "minInSyncReplicas": 1,
                            "maxLagSeconds": 3})"));
  EXPECT_EQ(spec["failover"]["coordinator"]["type"], "Kubernetes");
  EXPECT_EQ(spec["failover"]["masterLeaseSeconds"], 6);
  EXPECT_EQ(spec["failover"]["switchoverTimeoutSeconds"], 10);
  EXPECT_EQ(spec["storage"]["retention"]["whenDeleted"], "Retain");
  EXPECT_EQ(spec["update"]["progressDeadlineSeconds"], 600);
  EXPECT_EQ(spec["expose"]["type"], "ClusterIP");
  EXPECT_EQ(spec["tls"]["mode"], "Both");
  EXPECT_EQ(spec["podDisruptionBudget"]["enabled"], true);
}

TEST_F(CrdsTest, UnknownSettingsAreKeptForTheServerToJudge) {
  const Json& base = valid.at("group-full");
  const auto group = client->Run(Get(TypeOf(base), k8s::KeyOf(base)));
  ASSERT_OK(group);
  EXPECT_EQ((*group)["spec"]["config"], base["spec"]["config"]);
  EXPECT_EQ((*group)["spec"]["podTemplate"], base["spec"]["podTemplate"]);
}

TEST_F(CrdsTest, StatusIsItsOwnAndConditionsAreAMap) {
  const Json& base = valid.at("group");
  const ResourceType& type = TypeOf(base);
  Json status = NewObject(type, k8s::KeyOf(base));
  Json& conditions = status["status"]["conditions"];
  k8s::SetCondition(conditions, {"Ready", k8s::ConditionStatus::kTrue, "AllMembersReady", "3 of 3"},
                    1, FromUnixMillis(1'767'323'045'000));
  status["status"]["master"] = "group-0";
  status["status"]["epoch"] = 4;
  status["status"]["replicas"] = 3;
  status["status"]["readyReplicas"] = 3;
  status["status"]["inSyncReplicas"] = 2;
  status["status"]["selector"] = "dunlin.dev/group=group";
  status["status"]["observedGeneration"] = 1;
  ASSERT_OK(client->Run(ApplyStatus(type, status, {.field_manager = "one"})));
  // Another manager's condition stands beside it.
  Json other = NewObject(type, k8s::KeyOf(base));
  k8s::SetCondition(other["status"]["conditions"],
                    {"Backup", k8s::ConditionStatus::kFalse, "Never", ""}, 1,
                    FromUnixMillis(1'767'323'045'000));
  ASSERT_OK(client->Run(ApplyStatus(type, other, {.field_manager = "two"})));
  const auto group = client->Run(Get(type, k8s::KeyOf(base)));
  ASSERT_OK(group);
  EXPECT_EQ((*group)["status"]["conditions"].size(), 2U);
  EXPECT_EQ((*group)["spec"]["replicas"], 3);
  EXPECT_EQ(k8s::GenerationOf(*group), 1);
  control_plane->Kubectl({"wait", "--for=condition=Ready", "--timeout=5s", "bg/group"});
}

TEST_F(CrdsTest, KubectlShowsThem) {
  const std::string table = control_plane->Kubectl({"get", "bg", "group"});
  EXPECT_THAT(table, HasSubstr("READY   MASTER    EPOCH   REPLICAS   DESIRED   INSYNC   PHASE"));
  EXPECT_THAT(table, HasSubstr("group   True    group-0   4       3          3         2"));
  EXPECT_THAT(control_plane->Kubectl({"get", "bg", "group", "-o", "wide"}),
              AllOf(HasSubstr("REASON"), HasSubstr("3 of 3")));
  const std::string all = control_plane->Kubectl({"get", "dunlin"});
  for (const auto& [name, resource] : valid) EXPECT_THAT(all, HasSubstr("/" + name + " "));
  for (const std::string name : {"mqns", "mqt", "mqcg", "mqu"}) {
    EXPECT_THAT(control_plane->Kubectl({"get", name}), Not(HasSubstr("No resources"))) << name;
  }
}

TEST_F(CrdsTest, KubectlScales) {
  control_plane->Kubectl({"scale", "bg/group-full", "--replicas=3"});
  EXPECT_THAT(control_plane->Kubectl({"scale", "mqns/names", "--replicas=3"}), HasSubstr("scaled"));
  EXPECT_THAT(control_plane->Kubectl({"scale", "mqns/names", "--replicas=0"}, true),
              HasSubstr("greater than or equal to 1"));
}

// Every field of every kind has a description that kubectl explain shows.
TEST_F(CrdsTest, KubectlExplainsEveryField) {
  for (const auto& [kind, type] : types) {
    const std::string text = control_plane->Kubectl(
        {"explain", type.plural, "--recursive", "--api-version=" + type.ApiVersion()});
    EXPECT_THAT(text, HasSubstr("conditions"));
    for (const std::string path : {"", ".spec", ".status", ".status.conditions"}) {
      EXPECT_THAT(control_plane->Kubectl({"explain", type.plural + path}),
                  Not(HasSubstr("<no description>")))
          << kind << path;
    }
  }
}

void ExpectDescriptions(const Json& schema, const std::string& path) {
  if (schema.contains("properties")) {
    for (const auto& [name, field] : schema["properties"].items()) {
      const std::string at = path + "." + name;
      EXPECT_FALSE(k8s::StringAt(field, {"description"}).empty()) << at;
      ExpectDescriptions(field, at);
    }
  }
  if (schema.contains("items")) ExpectDescriptions(schema["items"], path + "[]");
}

TEST_F(CrdsTest, EveryFieldHasADescription) {
  for (const auto& [kind, type] : types) {
    for (const Json& definition : Load(type.plural + ".yaml")) {
      const Json& schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
      EXPECT_FALSE(k8s::StringAt(schema, {"description"}).empty()) << kind;
      ExpectDescriptions(schema, kind);
    }
  }
}

}  // namespace
}  // namespace dunlin::op
