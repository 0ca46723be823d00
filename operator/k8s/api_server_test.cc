// The client library against a real API server.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"

#include "operator/k8s/api_error.h"
#include "operator/k8s/client.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/event_recorder.h"
#include "operator/k8s/kubeconfig.h"
#include "operator/k8s/reflector.h"
#include "operator/k8s/store.h"
#include "operator/k8s/testing/child_process.h"
#include "operator/k8s/testing/control_plane.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::k8s {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Code = absl::StatusCode;

ResourceType Namespaces() {
  return {.group = "",
          .version = "v1",
          .plural = "namespaces",
          .kind = "Namespace",
          .namespaced = false};
}
ResourceType ConfigMaps() {
  return {.group = "", .version = "v1", .plural = "configmaps", .kind = "ConfigMap"};
}
ResourceType ServiceAccounts() {
  return {.group = "", .version = "v1", .plural = "serviceaccounts", .kind = "ServiceAccount"};
}
ResourceType Events() {
  return {.group = "events.k8s.io", .version = "v1", .plural = "events", .kind = "Event"};
}

Json MakeMap(const ObjectKey& key, const Json& data) {
  Json map = NewObject(ConfigMaps(), key);
  map["data"] = data;
  return map;
}

class ApiServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { control_plane = new ControlPlane; }
  static void TearDownTestSuite() { delete std::exchange(control_plane, nullptr); }

  ApiServerTest()
      : loop_(control_plane->Admin(), "test/1", clock_),
        client_(loop_, loop_),
        space_(fmt::format("space-{}", ++spaces)) {
    EXPECT_OK(client_.Run(Create(Namespaces(), NewObject(Namespaces(), {"", space_}))));
  }
  ~ApiServerTest() override { loop_.Stop(); }

  ObjectKey Key(const std::string& name) const { return {space_, name}; }

  static ControlPlane* control_plane;
  static int spaces;
  SystemClock clock_;
  CurlLoop loop_;
  Client client_;
  const std::string space_;
};

ControlPlane* ApiServerTest::control_plane = nullptr;
int ApiServerTest::spaces = 0;

TEST_F(ApiServerTest, ObjectsComeAndGo) {
  const auto made = client_.Run(Create(ConfigMaps(), MakeMap(Key("a"), {{"x", "1"}})));
  ASSERT_OK(made);
  EXPECT_FALSE(UidOf(*made).empty());
  EXPECT_THAT(client_.Run(Create(ConfigMaps(), MakeMap(Key("a"), {}))),
              StatusIs(Code::kAlreadyExists));

  Json changed = *made;
  changed["data"]["x"] = "2";
  ASSERT_OK(client_.Run(Replace(ConfigMaps(), changed)));
  const auto stale = client_.Run(Replace(ConfigMaps(), changed));
  EXPECT_TRUE(IsConflict(stale.status())) << stale.status().ToString();
  EXPECT_EQ((*client_.Run(Get(ConfigMaps(), Key("a"))))["data"]["x"], "2");

  const auto another = client_.Run(Delete(ConfigMaps(), Key("a"), {.uid = "of-another"}));
  EXPECT_TRUE(IsConflict(another.status())) << another.status().ToString();
  EXPECT_OK(client_.Run(Delete(ConfigMaps(), Key("a"), {.uid = std::string(UidOf(*made))})));
  EXPECT_THAT(client_.Run(Get(ConfigMaps(), Key("a"))), StatusIs(Code::kNotFound));
  EXPECT_THAT(client_.Run(Delete(ConfigMaps(), Key("a"))), StatusIs(Code::kNotFound));
}

TEST_F(ApiServerTest, ListsHavePagesAndSelectors) {
  for (int i = 0; i < 7; ++i) {
    Json map = MakeMap(Key(fmt::format("m{}", i)), {});
    map["metadata"]["labels"]["parity"] = i % 2 == 0 ? "even" : "odd";
    ASSERT_OK(client_.Run(Create(ConfigMaps(), map)));
  }
  ListOptions options{.space = space_, .label_selector = "parity in (even)"};
  options.page_size = 2;
  const auto even = client_.ListAll(ConfigMaps(), options);
  ASSERT_OK(even);
  EXPECT_THAT(even->items, SizeIs(4));
  EXPECT_EQ(even->items[0]["kind"], "ConfigMap");
  EXPECT_FALSE(even->resource_version.empty());
}

TEST_F(ApiServerTest, AppliedFieldsAreOwned) {
  const auto apply = [&](const Json& data, const std::string& manager, bool force) {
    return client_.Run(
        Apply(ConfigMaps(), MakeMap(Key("a"), data), {.field_manager = manager, .force = force}));
  };
  ASSERT_OK(apply({{"x", "ours"}, {"y", "ours"}}, "us", false));
  ASSERT_OK(apply({{"z", "theirs"}}, "them", false));

  const auto conflict = apply({{"x", "theirs"}}, "them", false);
  EXPECT_TRUE(IsConflict(conflict.status())) << conflict.status().ToString();
  EXPECT_THAT(ApiErrorOf(conflict.status())->causes,
              ElementsAre(HasSubstr(".data.x: conflict with \"us\"")));
  ASSERT_OK(apply({{"x", "theirs"}}, "them", true));
  EXPECT_TRUE(IsConflict(apply({{"x", "ours"}, {"y", "ours"}}, "us", false).status()));

  // What we no longer say goes, what they say stays (z: they no longer do).
  const auto left = apply(Json::object(), "us", false);
  ASSERT_OK(left);
  EXPECT_EQ((*left)["data"], Json::parse(R"({"x": "theirs"})"));
}

TEST_F(ApiServerTest, MisspelledFieldsAreRefused) {
  Json map = MakeMap(Key("a"), {});
  map["dta"] = {{"x", "1"}};
  // API servers answer 500 to that, of all codes.
  const auto answer = client_.Run(Apply(ConfigMaps(), map, {.field_manager = "us"}));
  EXPECT_THAT(answer, StatusIs(Code::kUnavailable, HasSubstr("dta")));
}

TEST_F(ApiServerTest, InvalidObjectsSayWhatToChange) {
  Json map = MakeMap(Key("a"), {{"no spaces", "1"}});
  const auto answer = client_.Run(Create(ConfigMaps(), map));
  EXPECT_THAT(answer, StatusIs(Code::kInvalidArgument));
  const auto error = ApiErrorOf(answer.status());
  EXPECT_EQ(error->reason, "Invalid");
  EXPECT_THAT(error->causes, ElementsAre(HasSubstr("data[no spaces]")));
}

TEST_F(ApiServerTest, DryRunsLeaveNothing) {
  EXPECT_OK(client_.Run(
      Apply(ConfigMaps(), MakeMap(Key("a"), {}), {.field_manager = "us", .dry_run = true})));
  EXPECT_THAT(client_.Run(Get(ConfigMaps(), Key("a"))), StatusIs(Code::kNotFound));
}

TEST_F(ApiServerTest, FinalizersHoldAnObject) {
  const auto made = client_.Run(Create(ConfigMaps(), MakeMap(Key("a"), {})));
  ASSERT_OK(made);
  const auto held =
      client_.Run(JsonPatch(ConfigMaps(), Key("a"), AddFinalizerPatch(*made, "example.com/hold")));
  ASSERT_OK(held);
  EXPECT_TRUE(HasFinalizer(*held, "example.com/hold"));
  // The object as it was before is refused.
  EXPECT_THAT(
      client_.Run(JsonPatch(ConfigMaps(), Key("a"), AddFinalizerPatch(*made, "example.com/x"))),
      StatusIs(Code::kInvalidArgument));

  ASSERT_OK(client_.Run(Delete(ConfigMaps(), Key("a"))));
  const auto going = client_.Run(Get(ConfigMaps(), Key("a")));
  ASSERT_OK(going);
  EXPECT_TRUE(IsBeingDeleted(*going));
  ASSERT_OK(client_.Run(
      JsonPatch(ConfigMaps(), Key("a"), RemoveFinalizerPatch(*going, "example.com/hold"))));
  EXPECT_THAT(client_.Run(Get(ConfigMaps(), Key("a"))), StatusIs(Code::kNotFound));
}

TEST_F(ApiServerTest, EventsAreTakenAndCountedUp) {
  const auto made = client_.Run(Create(ConfigMaps(), MakeMap(Key("a"), {})));
  ASSERT_OK(made);
  EventRecorder recorder(client_, loop_, {"example.com/test", "test-0"});
  const Event event{
      .type = EventType::kWarning, .reason = "TooSmall", .action = "Grow", .note = "it has grown"};
  recorder.Record(*made, event);
  // Calls are answered in any order: the first is to be there before it is counted up.
  absl::StatusOr<Client::ListAnswer> events;
  do events = client_.ListAll(Events(), {.space = space_});
  while (events.ok() && events->items.empty());
  recorder.Record(*made, event);
  do events = client_.ListAll(Events(), {.space = space_});
  while (events.ok() && IntAt(events->items.at(0), {"series", "count"}) < 2);
  ASSERT_OK(events);
  EXPECT_THAT(events->items, SizeIs(1));
  EXPECT_THAT(control_plane->Kubectl({"-n", space_, "describe", "configmap", "a"}),
              HasSubstr("TooSmall"));
}

TEST_F(ApiServerTest, APodKnowsTheServerByWhatIsMounted) {
  ASSERT_OK(client_.Run(Create(ServiceAccounts(), NewObject(ServiceAccounts(), Key("robot")))));
  // A token of the account, as the kubelet asks for it.
  const auto token = client_.Run(
      {.method = "POST",
       .path = PathOf(ServiceAccounts(), Key("robot"), "token"),
       .content_type = "application/json",
       .body = R"({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})",
       .idempotent = false});
  ASSERT_OK(token);
  TempDir mounted;
  std::ofstream(mounted.path() + "/token") << StringAt(*token, {"status", "token"});
  std::ofstream(mounted.path() + "/ca.crt") << control_plane->Admin().ca_pem;
  std::ofstream(mounted.path() + "/namespace") << space_;
  const std::string url = control_plane->Admin().url;
  auto server = InClusterServer(
      {.directory = mounted.path(), .host = "127.0.0.1", .port = url.substr(url.rfind(':') + 1)},
      clock_);
  ASSERT_OK(server);
  EXPECT_EQ(server->default_namespace, space_);
  CurlLoop loop(*std::move(server), "test/1", clock_);
  Client client(loop, loop);
  EXPECT_THAT(client.Run(Get(ConfigMaps(), Key("a"))),
              StatusIs(Code::kPermissionDenied,
                       HasSubstr(fmt::format("system:serviceaccount:{}:robot", space_))));
  loop.Stop();
}

TEST_F(ApiServerTest, StrangersAreRefused) {
  ApiServer server = control_plane->Admin();
  server.token = std::make_shared<FixedToken>("nonsense");
  CurlLoop loop(std::move(server), "test/1", clock_);
  Client client(loop, loop);
  EXPECT_THAT(client.Run(Get(ConfigMaps(), Key("a"))), StatusIs(Code::kUnauthenticated));
  loop.Stop();
}

TEST_F(ApiServerTest, OneOfTwoProcessesLeads) {
  const auto start = [&](const std::string& identity) {
    return ChildProcess({"operator/k8s/testing/lease_candidate", control_plane->kubeconfig(),
                         space_, "leader", identity},
                        "");
  };
  ChildProcess first = start("first");
  EXPECT_EQ(first.ReadLine(), "leads");
  ChildProcess second = start("second");

  // Killed: the lease runs out.
  first.Kill();
  EXPECT_EQ(second.ReadLine(), "leads");

  // Stands still: fenced by the time it wakes up.
  first = start("third");
  second.Freeze();
  EXPECT_EQ(first.ReadLine(), "leads");
  second.Thaw();
  EXPECT_EQ(second.ReadLine(), "lost");
  EXPECT_EQ(second.ReadLine(), "");

  // Leaves in order: the next need not wait.
  second = start("fourth");
  first.Terminate();
  EXPECT_EQ(first.ReadLine(), "released");
  EXPECT_EQ(second.ReadLine(), "leads");
}

// ---- a reflector, and an API server that goes away ----

class ApiServerWatchTest : public ApiServerTest {
 protected:
  ApiServerWatchTest() {
    store_.AddHandler([this](const Store::Change& change) {
      MutexLock lock(mutex_);
      const Object& any = change.after != nullptr ? change.after : change.before;
      seen_.push_back((change.after == nullptr ? "-" : "+") + KeyOf(*any).name);
      changed_.SignalAll();
    });
    reflector_.emplace(client_, loop_, loop_, store_,
                       ReflectorOptions{.type = ConfigMaps(),
                                        .which = {.space = space_},
                                        .backoff = {.first = std::chrono::milliseconds(50),
                                                    .max = std::chrono::milliseconds(500)}});
    reflector_->Start();
  }
  ~ApiServerWatchTest() override { loop_.Stop(); }

  void Make(const std::string& name) {
    EXPECT_OK(client_.Run(Create(ConfigMaps(), MakeMap(Key(name), {}))));
  }
  void WaitFor(const std::string& what) {
    MutexLock lock(mutex_);
    while (std::find(seen_.begin(), seen_.end(), what) == seen_.end()) changed_.Wait(mutex_);
  }
  int64_t Times(const std::string& what) {
    MutexLock lock(mutex_);
    return std::count(seen_.begin(), seen_.end(), what);
  }

  Store store_;
  std::optional<Reflector> reflector_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> seen_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(ApiServerWatchTest, GoesOnAfterTheApiServerWasStartedAnew) {
  Make("a");
  WaitFor("+a");
  control_plane->KillApiServer();
  control_plane->StartApiServer();
  Make("b");
  WaitFor("+b");
  EXPECT_EQ(Times("+a"), 1);
  EXPECT_EQ(reflector_->CurrentState().lists, 1U);
}

TEST_F(ApiServerWatchTest, ListsAgainWhenItsPlaceIsForgotten) {
  Make("a");
  Make("b");
  WaitFor("+a");
  WaitFor("+b");
  control_plane->KillApiServer();
  // Behind everybody's back an object goes, and what was before is forgotten.
  CurlLoop etcd_loop(ApiServer{.url = control_plane->etcd_url()}, "test/1", clock_);
  Client etcd(etcd_loop, etcd_loop);
  const std::string key = fmt::format("/registry/configmaps/{}/a", space_);
  std::string encoded;
  absl::Base64Escape(ToAbsl(key), &encoded);
  const auto post = [&](const std::string& path, const Json& body) {
    return etcd.Run({.method = "POST",
                     .path = path,
                     .content_type = "application/json",
                     .body = PrintJson(body),
                     .idempotent = false});
  };
  const auto deleted = post("/v3/kv/deleterange", {{"key", encoded}});
  ASSERT_OK(deleted);
  EXPECT_EQ(StringAt(*deleted, {"deleted"}), "1");
  ASSERT_OK(post("/v3/kv/compaction", {{"revision", StringAt(*deleted, {"header", "revision"})}}));
  etcd_loop.Stop();
  control_plane->StartApiServer();
  WaitFor("-a");
  EXPECT_GE(reflector_->CurrentState().lists, 2U);
  EXPECT_EQ(Times("+b"), 1);
  EXPECT_EQ(store_.Get(Key("a")), nullptr);
}

// ---- what the controllers do ----

TEST_F(ApiServerWatchTest, WhatIsOwnedGoesWithItsOwner) {
  control_plane->StartControllers();
  const auto owner = client_.Run(Create(ConfigMaps(), MakeMap(Key("owner"), {})));
  ASSERT_OK(owner);
  Json owned = MakeMap(Key("owned"), {});
  owned["metadata"]["ownerReferences"] = Json::array({ControllerReference(*owner)});
  ASSERT_OK(client_.Run(Apply(ConfigMaps(), owned, {.field_manager = "us"})));
  WaitFor("+owned");
  ASSERT_OK(
      client_.Run(Delete(ConfigMaps(), Key("owner"), {.propagation = Propagation::kForeground})));
  WaitFor("-owned");
  WaitFor("-owner");
}

}  // namespace
}  // namespace dunlin::k8s
