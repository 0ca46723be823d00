// The program itself against a real API server with its controllers: groups are made, updated,
// scaled and deleted, while operators and the API server are killed. There are no nodes: what
// kubelets and members would do is done by a stand-in.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/k8s/client.h"
#include "operator/k8s/conditions.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/testing/child_process.h"
#include "operator/k8s/testing/control_plane.h"
#include "operator/k8s/yaml_json.h"
#include "operator/planner/objects.h"
#include "operator/planner/resource_types.h"
#include "operator/program/testing/stand_in.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kSpace[] = "shop";

k8s::ResourceType Definitions() {
  return {.group = "apiextensions.k8s.io",
          .version = "v1",
          .plural = "customresourcedefinitions",
          .kind = "CustomResourceDefinition",
          .namespaced = false};
}
k8s::ResourceType Namespaces() {
  return {.group = "",
          .version = "v1",
          .plural = "namespaces",
          .kind = "Namespace",
          .namespaced = false};
}

Json GroupOf(const std::string& name, int replicas) {
  Json group = k8s::NewObject(BrokerGroupType(), {kSpace, name});
  group["spec"] = {{"nameServers", {"names:9876"}},
                   {"replicas", replicas},
                   {"image", "example.com/dunlin:1"},
                   {"storage", {{"size", "1Gi"}}},
                   {"replication", {{"mode", replicas > 1 ? "Sync" : "Async"}}}};
  return group;
}

// Nobody makes volumes of these by himself.
constexpr char kStorageClasses[] = R"(
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: grows}
provisioner: example.com/none
allowVolumeExpansion: true
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fixed}
provisioner: example.com/none
)";

// What is served at 127.0.0.1:PORT/metrics.
std::string Scrape(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string text;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string_view request = "GET /metrics HTTP/1.0\r\n\r\n";
    EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
    std::array<char, 4096> part{};
    for (ssize_t got = 0; (got = read(fd, part.data(), part.size())) > 0;) {
      text.append(part.data(), static_cast<size_t>(got));
    }
  }
  close(fd);
  return text;
}

// A program that runs until it is killed, or this goes.
class OperatorProcess {
 public:
  explicit OperatorProcess(std::string kubeconfig) : kubeconfig_(std::move(kubeconfig)) { Start(); }

  void Kill() {
    wanted_ = false;
    process_.Kill();
  }
  void Terminate() {
    wanted_ = false;
    process_.Terminate();
  }
  // One that lost leadership, by a machine that stood still for instance, has ended.
  void Revive() {
    if (wanted_ && Scrape(metrics_port_).empty()) Start();
  }
  double Metric(const std::string& name) const {
    const std::string text = Scrape(metrics_port_);
    double sum = 0;
    size_t at = 0;
    while ((at = text.find("\n" + name, at)) != std::string::npos) {
      const size_t end = text.find('\n', at + 1);
      const std::string line = text.substr(at + 1, end - at - 1);
      sum += std::stod(line.substr(line.rfind(' ') + 1));
      at += 1;
    }
    return sum;
  }
  bool Leads() const { return Metric("dunlin_operator_leader ") == 1; }
  // But for watches, which go on, and those of leader election (get, update).
  double Requests() const {
    double sum = 0;
    for (const char* const verb : {"list", "create", "patch", "delete"}) {
      for (const char* const code : {"200", "201", "404", "409"}) {
        sum += Metric(fmt::format("dunlin_operator_api_requests_total{{code=\"{}\",verb=\"{}\"}}",
                                  code, verb));
      }
    }
    return sum;
  }
  // Resident, in MiB.
  double Memory() const {
    std::ifstream statm(fmt::format("/proc/{}/statm", pid_));
    double all = 0;
    double resident = 0;
    statm >> all >> resident;
    return resident * 4096 / (1 << 20);
  }
  std::string Text() const { return Scrape(metrics_port_); }

 private:
  void Start() {
    process_ = k8s::ChildProcess(
        {"operator/program/dunlin-operator", "--set", "kubernetes.kubeconfig=" + kubeconfig_,
         "--set", "health_listen_address=127.0.0.1:0", "--set",
         "metrics.listen_address=127.0.0.1:0", "--set", "leader_election.lease_namespace=default",
         "--set", "leader_election.lease_duration_ms=6000", "--set",
         "leader_election.renew_deadline_ms=4000", "--set", "leader_election.retry_period_ms=1000"},
        "");
    const std::string line = process_.ReadLine();
    constexpr std::string_view kMetrics = "metrics on 127.0.0.1:";
    constexpr std::string_view kPid = "pid ";
    const size_t metrics = line.find(kMetrics);
    const size_t pid = line.find(kPid);
    ASSERT_TRUE(metrics != std::string::npos && pid != std::string::npos) << line;
    metrics_port_ = std::stoi(line.substr(metrics + kMetrics.size()));
    pid_ = std::stoi(line.substr(pid + kPid.size()));
  }

  const std::string kubeconfig_;
  bool wanted_ = true;
  k8s::ChildProcess process_;
  int metrics_port_ = 0;
  int pid_ = 0;
};

// A broker alone, at every pod's address.
class BrokerProcess {
 public:
  BrokerProcess(const std::string& directory, const std::string& group)
      : process_(
            {"services/standalone/dunlin", "--data-dir", directory, "--set",
             "server.listen_address=127.0.0.1:8081", "--set", "name_service.enabled=false", "--set",
             "metrics.listen_address=127.0.0.1:0", "--set", "broker.broker_name=" + group},
            ""),
        stub_(admin::v1::AdminService::NewStub(
            grpc::CreateChannel("127.0.0.1:8081", grpc::InsecureChannelCredentials()))) {
    EXPECT_NE(process_.ReadLine(), "");  // it is ready
  }

  // nullopt: there is none.
  std::optional<admin::v1::Topic> Topic(const std::string& name) {
    admin::v1::GetTopicRequest request;
    request.set_name(name);
    admin::v1::GetTopicResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub_->GetTopic(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return std::nullopt;
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.topic();
  }
  std::optional<admin::v1::Group> Group(const std::string& name) {
    admin::v1::GetGroupRequest request;
    request.set_name(name);
    admin::v1::GetGroupResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub_->GetGroup(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return std::nullopt;
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.group();
  }
  // As somebody would with dunlinctl.
  void SetQueues(const std::string& topic, uint32_t queues) {
    admin::v1::UpdateTopicRequest request;
    request.mutable_topic()->set_name(topic);
    request.mutable_topic()->set_queues(queues);
    admin::v1::Topic updated;
    grpc::ClientContext context;
    EXPECT_TRUE(stub_->UpdateTopic(&context, request, &updated).ok());
  }

 private:
  k8s::ChildProcess process_;
  std::unique_ptr<admin::v1::AdminService::Stub> stub_;
};

class OperatorServerTest : public ::testing::Test {
 protected:
  OperatorServerTest() : loop_(control_plane_.Admin(), "test/1", clock_), client_(loop_, loop_) {
    for (const std::string name :
         {"brokergroups", "nameservices", "topics", "consumergroups", "users"}) {
      const auto text = ReadWholeFile(RealFiles(), fmt::format("operator/crds/{}.yaml", name));
      EXPECT_OK(text);
      const auto definitions = k8s::ParseYamlDocuments(*text, name);
      EXPECT_OK(definitions);
      for (const Json& definition : *definitions) {
        EXPECT_OK(client_.Run(Apply(Definitions(), definition, {.field_manager = "test"})));
      }
      control_plane_.Kubectl({"wait", "--for=condition=Established", "--timeout=60s",
                              fmt::format("crd/{}.dunlin.dev", name)});
    }
    Json space = NewObject(Namespaces(), {"", kSpace});
    space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted";
    EXPECT_OK(client_.Run(Create(Namespaces(), space)));
    control_plane_.StartControllers();
    GiveRights();
    stand_in_ = std::make_unique<StandIn>(client_, kSpace, clock_);
  }
  ~OperatorServerTest() override {
    stand_in_.reset();
    loop_.Stop();
  }

  // Operators are those whom rbac.yaml describes, and may do no more.
  void GiveRights() {
    control_plane_.Kubectl({"apply", "-f", "operator/program/rbac.yaml"});
    control_plane_.Kubectl({"-n", "default", "create", "serviceaccount", "operator"});
    control_plane_.Kubectl({"create", "clusterrolebinding", "operator",
                            "--clusterrole=dunlin-operator", "--serviceaccount=default:operator"});
    control_plane_.Kubectl({"-n", "default", "create", "rolebinding", "operator",
                            "--role=dunlin-operator-election",
                            "--serviceaccount=default:operator"});
    std::string token =
        control_plane_.Kubectl({"-n", "default", "create", "token", "operator", "--duration=2h"});
    while (!token.empty() && token.back() == '\n') token.pop_back();
    const auto text = ReadWholeFile(RealFiles(), control_plane_.kubeconfig());
    ASSERT_OK(text);
    std::string config = *text;
    constexpr std::string_view kToken = "token: ";
    const size_t at = config.find(kToken);
    ASSERT_NE(at, std::string::npos);
    config.replace(at + kToken.size(), config.find('\n', at) - at - kToken.size(), token);
    kubeconfig_ = directory_.path() + "/operator.kubeconfig";
    std::ofstream(kubeconfig_) << config;
  }
  std::shared_ptr<OperatorProcess> StartOperator() {
    operators_.push_back(std::make_shared<OperatorProcess>(kubeconfig_));
    return operators_.back();
  }
  void WaitUntilReady(const std::string& group, int64_t generation = 0) {
    WaitFor(fmt::format("{} is ready", group), [&] {
      const Json now = Get(BrokerGroupType(), group);
      const Json* const conditions = k8s::Find(now, {"status", "conditions"});
      return conditions != nullptr && k8s::IsConditionTrue(*conditions, "Ready") &&
             k8s::IntAt(now, {"status", "observedGeneration"}) >= k8s::GenerationOf(now) &&
             k8s::GenerationOf(now) >= generation;
    });
  }
  void WaitFor(const std::string& what, const std::function<bool()>& is_so) {
    constexpr std::chrono::seconds kPatience{300};
    Mutex mutex;
    CondVar never;
    const Timestamp deadline = clock_.Now() + kPatience;
    while (!is_so()) {
      ASSERT_LT(clock_.Now(), deadline)
          << "not so: " << what << "\n"
          << control_plane_.Kubectl(
                 {"-n", kSpace, "get", "bg,mqt,mqcg,sts,pods,leases,events", "-o", "wide"}, true);
      for (const auto& program : operators_) program->Revive();
      MutexLock lock(mutex);
      never.WaitUntil(mutex, std::chrono::steady_clock::now() + std::chrono::milliseconds(200));
    }
  }
  Json Get(const k8s::ResourceType& type, const std::string& name) {
    const auto got = client_.Run(k8s::Get(type, {kSpace, name}));
    return got.ok() ? *got : Json();
  }
  std::string ConditionReason(const k8s::ResourceType& type, const std::string& name,
                              const std::string& condition) {
    const Json got = Get(type, name);
    const Json* const conditions = k8s::Find(got, {"status", "conditions"});
    const Json* const found =
        conditions == nullptr ? nullptr : k8s::FindCondition(*conditions, condition);
    return found == nullptr ? "" : std::string(k8s::StringAt(*found, {"reason"}));
  }
  // Until the condition is of its newest spec, too.
  void WaitForReason(const k8s::ResourceType& type, const std::string& name,
                     const std::string& condition, const std::string& reason) {
    WaitFor(fmt::format("{} {} of {} is {}", type.kind, condition, name, reason), [&] {
      const Json now = Get(type, name);
      return ConditionReason(type, name, condition) == reason &&
             k8s::IntAt(now, {"status", "observedGeneration"}) == k8s::GenerationOf(now);
    });
  }
  void KubectlApply(const std::string& manifest) {
    const std::string file = directory_.path() + "/manifest.yaml";
    std::ofstream(file) << manifest;
    control_plane_.Kubectl({"apply", "-f", file});
  }
  void Patch(const std::string& type, const std::string& name, const std::string& patch) {
    control_plane_.Kubectl({"-n", kSpace, "patch", type, name, "--type=merge", "-p", patch});
  }
  void Edit(const std::string& group, const Json& spec) {
    ASSERT_OK(client_.Run(MergePatch(BrokerGroupType(), {kSpace, group}, {{"spec", spec}})));
  }
  // As the scheduler would.
  void Bind(const std::string& pod, const std::string& node) {
    Json binding = {{"apiVersion", "v1"},
                    {"kind", "Binding"},
                    {"metadata", {{"name", pod}, {"namespace", kSpace}}},
                    {"target", {{"apiVersion", "v1"}, {"kind", "Node"}, {"name", node}}}};
    k8s::ApiCall call = Create(PodType(), binding);
    call.path = k8s::PathOf(PodType(), {kSpace, pod}, "binding");
    ASSERT_OK(client_.Run(std::move(call)));
  }
  // Of the ConfigMap that new pods have.
  std::string FileNameOf(const std::string& group) {
    const Json set = Get(StatefulSetType(), group);
    const Json* const volumes = k8s::Find(set, {"spec", "template", "spec", "volumes"});
    if (volumes == nullptr) return "";
    return std::string(k8s::StringAt(volumes->at(0), {"configMap", "name"}));
  }
  std::string WriteFile(const std::string& name, const std::string& text) {
    std::string path = directory_.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  // As a provisioner would, for one claim.
  void MakeVolume(const std::string& storage_class, const std::string& claim) {
    control_plane_.Kubectl({"apply", "-f",
                            WriteFile("volume.yaml", fmt::format(R"(
apiVersion: v1
kind: PersistentVolume
metadata: {{name: of-{1}}}
spec:
  storageClassName: {0}
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {{namespace: {2}, name: {1}}}
  csi: {{driver: example.com, volumeHandle: {1}}}
)",
                                                                 storage_class, claim, kSpace))});
  }
  void SetStatus(const k8s::ResourceType& type, const std::string& name, const Json& status) {
    k8s::ApiCall call = k8s::MergePatch(type, {kSpace, name}, {{"status", status}});
    call.path = k8s::PathOf(type, {kSpace, name}, "status");
    ASSERT_OK(client_.Run(std::move(call)));
  }
  bool IsBound(const std::string& claim) {
    return k8s::StringAt(Get(PersistentVolumeClaimType(), claim), {"status", "phase"}) == "Bound";
  }
  std::string SizeOf(const std::string& claim) {
    const Json got = Get(PersistentVolumeClaimType(), claim);
    return std::string(k8s::StringAt(got, {"spec", "resources", "requests", "storage"}));
  }
  std::string ImageOf(const std::string& pod) {
    const Json got = Get(PodType(), pod);
    const Json* const containers = k8s::Find(got, {"spec", "containers"});
    return containers == nullptr ? "" : std::string(k8s::StringAt(containers->at(0), {"image"}));
  }
  void ExpectImages(const std::string& image, int members) {
    for (int i = 0; i < members; ++i) EXPECT_EQ(ImageOf(fmt::format("orders-{}", i)), image);
  }

  SystemClock clock_;
  TempDir directory_;
  std::string kubeconfig_;
  k8s::ControlPlane control_plane_;
  k8s::CurlLoop loop_;
  k8s::Client client_;
  std::unique_ptr<StandIn> stand_in_;
  std::vector<std::shared_ptr<OperatorProcess>> operators_;
};

TEST_F(OperatorServerTest, AGroupFromItsBeginningToItsEnd) {
  const auto program = StartOperator();
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), GroupOf("orders", 3))));
  WaitUntilReady("orders");
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "pods", "-l", "dunlin.dev/role=master"}),
              HasSubstr("orders-0"));
  EXPECT_FALSE(Get(SecretType(), "orders-replication").is_null());

  // One at a time; the master hands over before it goes.
  stand_in_->CountAnew("orders");
  Edit("orders", {{"image", "example.com/dunlin:2"}});
  WaitUntilReady("orders", 2);
  ExpectImages("example.com/dunlin:2", 3);
  EXPECT_GE(stand_in_->LeastReady("orders"), 2);
  EXPECT_EQ(stand_in_->Switchovers(), 1);

  // A new pod is added to the group, and nobody else is restarted for it.
  const std::string first(k8s::UidOf(Get(PodType(), "orders-0")));
  Edit("orders", {{"replicas", 4}});
  WaitUntilReady("orders", 3);
  EXPECT_THAT(stand_in_->Members("orders"),
              ElementsAre("orders-0", "orders-1", "orders-2", "orders-3"));
  EXPECT_EQ(k8s::UidOf(Get(PodType(), "orders-0")), first);
  EXPECT_EQ(k8s::IntAt(Get(BrokerGroupType(), "orders"), {"status", "inSyncReplicas"}), 4);
  Edit("orders", {{"replicas", 2}});
  WaitUntilReady("orders", 4);
  EXPECT_THAT(stand_in_->Members("orders"), ElementsAre("orders-0", "orders-1"));
  EXPECT_TRUE(Get(PodType(), "orders-2").is_null());
  EXPECT_TRUE(Get(PodType(), "orders-3").is_null());

  // What somebody breaks is mended.
  ASSERT_OK(client_.Run(Delete(ServiceType(), {kSpace, "orders-master"})));
  WaitFor("the Service is back", [&] { return !Get(ServiceType(), "orders-master").is_null(); });

  const std::string file = FileNameOf("orders");
  EXPECT_FALSE(Get(ConfigMapType(), file).is_null());
  ASSERT_OK(client_.Run(Delete(BrokerGroupType(), {kSpace, "orders"})));
  WaitFor("all is gone", [&] {
    return Get(StatefulSetType(), "orders").is_null() && Get(PodType(), "orders-0").is_null() &&
           Get(ConfigMapType(), file).is_null() && Get(ServiceType(), "orders").is_null() &&
           Get(SecretType(), "orders-replication").is_null();
  });
  // Its volumes stay, and so does who may be elected from them.
  EXPECT_FALSE(Get(LeaseType(), "orders-master").is_null());
}

TEST_F(OperatorServerTest, ANameServiceAndWhoRefersToIt) {
  const auto program = StartOperator();
  Json group = GroupOf("orders", 1);
  group["spec"].erase("nameServers");
  group["spec"]["nameServiceRef"] = {{"name", "names"}};
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), group)));
  WaitFor("it says what is missing", [&] {
    return ConditionReason(BrokerGroupType(), "orders", "Stalled") == "NameServiceMissing";
  });
  Json names = k8s::NewObject(NameServiceType(), {kSpace, "names"});
  names["spec"] = {{"replicas", 2}};
  ASSERT_OK(client_.Run(Create(NameServiceType(), names)));
  WaitUntilReady("orders");
  WaitFor("the name service is ready", [&] {
    return ConditionReason(NameServiceType(), "names", "Ready") == "AllInstancesReady";
  });
  EXPECT_EQ(k8s::IntAt(Get(NameServiceType(), "names"), {"status", "brokerGroups"}), 1);

  // Another number of instances is another configuration of its groups.
  const std::string former = FileNameOf("orders");
  ASSERT_OK(
      client_.Run(MergePatch(NameServiceType(), {kSpace, "names"}, {{"spec", {{"replicas", 3}}}})));
  WaitFor("the group is told", [&] {
    const Json file = Get(ConfigMapType(), FileNameOf("orders"));
    return k8s::StringAt(file, {"data", "dunlin.yaml"}).find("names-2.names-members") !=
           std::string_view::npos;
  });
  WaitFor("the former file is gone", [&] { return Get(ConfigMapType(), former).is_null(); });

  // What nothing is done for says so.
  Json user = k8s::NewObject(UserType(), {kSpace, "u"});
  user["spec"] = {{"nameServiceRef", {{"name", "names"}}}};
  ASSERT_OK(client_.Run(Create(UserType(), user)));
  WaitForReason(UserType(), "u", "Ready", "NotSupported");

  ASSERT_OK(client_.Run(Delete(NameServiceType(), {kSpace, "names"})));
  WaitFor("it is gone", [&] { return Get(StatefulSetType(), "names").is_null(); });
}

TEST_F(OperatorServerTest, ATopicAndAConsumerGroupAtARealBroker) {
  const auto program = StartOperator();
  Json names = k8s::NewObject(NameServiceType(), {kSpace, "names"});
  names["spec"] = Json::object();
  ASSERT_OK(client_.Run(Create(NameServiceType(), names)));
  KubectlApply(R"(
apiVersion: dunlin.dev/v1alpha1
kind: Topic
metadata: {name: payments, namespace: shop}
spec:
  nameServiceRef: {name: names}
  queues: 4
  kinds: [Normal, Delay]
  retention: {maxAge: 72h, maxQueueBytes: 1Gi}
---
apiVersion: dunlin.dev/v1alpha1
kind: ConsumerGroup
metadata: {name: billing, namespace: shop}
spec:
  nameServiceRef: {name: names}
  maxAttempts: 5
  retry: {delays: [1s, 1m]}
  deletionPolicy: Delete
)");
  WaitForReason(TopicType(), "payments", "Reconciling", "NoBrokerGroups");
  Json group = GroupOf("orders", 1);
  group["spec"].erase("nameServers");
  group["spec"]["nameServiceRef"] = {{"name", "names"}};
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), group)));
  WaitUntilReady("orders");
  // There is a master, whose broker does not answer yet.
  WaitForReason(TopicType(), "payments", "Reconciling", "Unreachable");
  BrokerProcess broker(directory_.path() + "/broker", "orders");
  WaitForReason(TopicType(), "payments", "Ready", "Kept");
  WaitForReason(ConsumerGroupType(), "billing", "Ready", "Kept");
  ASSERT_TRUE(broker.Topic("payments").has_value());
  EXPECT_EQ(broker.Topic("payments")->queues(), 4U);
  EXPECT_THAT(broker.Topic("payments")->kinds(), ElementsAre(admin::v1::NORMAL, admin::v1::DELAY));
  EXPECT_EQ(broker.Topic("payments")->retention().max_queue_bytes(), uint64_t{1} << 30);
  ASSERT_TRUE(broker.Group("billing").has_value());
  EXPECT_EQ(broker.Group("billing")->max_attempts(), 5U);
  EXPECT_THAT(broker.Group("billing")->retry_delays_ms(), ElementsAre(1000, 60'000));
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "mqt,mqcg"}),
              AllOf(HasSubstr("payments"), HasSubstr("Normal"), HasSubstr("billing")));

  // Changed, by whom it may be and by whom it may not.
  Patch("topic", "payments",
        R"({"spec": {"queues": 6, "kinds": ["Normal"], "compacted": true, "retention": null}})");
  Patch("consumergroup", "billing", R"({"spec": {"paused": true}})");
  WaitFor("both have changed", [&] {
    return broker.Topic("payments")->compacted() && broker.Group("billing")->paused();
  });
  EXPECT_EQ(broker.Topic("payments")->queues(), 6U);
  WaitForReason(TopicType(), "payments", "Ready", "Kept");
  broker.SetQueues("payments", 2);
  control_plane_.Kubectl({"-n", kSpace, "annotate", "topic/payments", "example.com/look=now"});
  WaitFor("drift is repaired", [&] { return broker.Topic("payments")->queues() == 6; });
  WaitFor("drift is told", [&] {
    return control_plane_.Kubectl({"-n", kSpace, "get", "events"}).find("queues: 2, to be 6") !=
           std::string::npos;
  });

  // What the broker refuses is told in its words.
  Patch("topic", "payments", R"({"spec": {"compacted": false}})");
  WaitForReason(TopicType(), "payments", "Stalled", "Refused");
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "topic/payments", "-o", "yaml"}),
              HasSubstr("is compacted and stays so"));
  EXPECT_TRUE(broker.Topic("payments")->compacted());

  control_plane_.Kubectl(
      {"-n", kSpace, "delete", "topic/payments", "consumergroup/billing", "--timeout=60s"});
  EXPECT_TRUE(broker.Topic("payments").has_value());  // Retain
  EXPECT_FALSE(broker.Group("billing").has_value());  // Delete
}

TEST_F(OperatorServerTest, OperatorsAndTheApiServerAreKilled) {
  const auto first = StartOperator();
  WaitFor("the first leads", [&] { return first->Leads(); });
  const auto second = StartOperator();
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), GroupOf("orders", 3))));
  WaitUntilReady("orders");
  EXPECT_TRUE(first->Leads());
  EXPECT_FALSE(second->Leads());

  // The leader dies amid an update; the other one goes on with it.
  stand_in_->CountAnew("orders");
  Edit("orders", {{"image", "example.com/dunlin:2"}});
  WaitFor("the first pod is replaced",
          [&] { return ImageOf("orders-2") == "example.com/dunlin:2"; });
  first->Kill();
  WaitUntilReady("orders", 2);
  ExpectImages("example.com/dunlin:2", 3);
  EXPECT_TRUE(second->Leads());
  EXPECT_GE(stand_in_->LeastReady("orders"), 2);

  // The API server dies amid the next one. Who loses leadership by that ends, and is started anew.
  stand_in_->CountAnew("orders");
  Edit("orders", {{"image", "example.com/dunlin:3"}});
  WaitFor("a pod is replaced", [&] {
    return ImageOf("orders-2") == "example.com/dunlin:3" ||
           ImageOf("orders-1") == "example.com/dunlin:3";
  });
  control_plane_.KillApiServer();
  control_plane_.StartApiServer();
  WaitUntilReady("orders", 3);
  ExpectImages("example.com/dunlin:3", 3);
  EXPECT_GE(stand_in_->LeastReady("orders"), 2);

  // Who stops in order gives leadership back.
  WaitFor("the second leads", [&] { return second->Leads(); });
  second->Terminate();
  const auto lease = client_.Run(k8s::Get(LeaseType(), {"default", "dunlin-operator"}));
  ASSERT_OK(lease);
  EXPECT_EQ(k8s::StringAt(*lease, {"spec", "holderIdentity"}), "");
}

TEST_F(OperatorServerTest, TheMasterHandsOverBeforeItsNodeIsDrained) {
  control_plane_.Kubectl({"create", "clusterrolebinding", "operator-nodes",
                          "--clusterrole=dunlin-operator-nodes",
                          "--serviceaccount=default:operator"});
  const auto program = StartOperator();
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), GroupOf("orders", 3))));
  WaitUntilReady("orders");
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(client_.Run(Create(NodeType(), NewObject(NodeType(), {"", fmt::format("n-{}", i)}))));
    Bind(fmt::format("orders-{}", i), fmt::format("n-{}", i));
  }
  const auto master = [&] {
    return std::string(k8s::StringAt(Get(BrokerGroupType(), "orders"), {"status", "master"}));
  };
  const auto why = [&] { return ConditionReason(BrokerGroupType(), "orders", "Draining"); };
  ASSERT_EQ(master(), "orders-0");

  control_plane_.Kubectl({"cordon", "n-1"});
  control_plane_.Kubectl({"cordon", "n-0"});
  WaitFor("another one is master", [&] { return master() == "orders-2" && why().empty(); });
  EXPECT_EQ(stand_in_->Switchovers(), 1);
  WaitUntilReady("orders");

  // Nobody is asked in a circle.
  control_plane_.Kubectl({"cordon", "n-2"});
  WaitFor("it says that nobody fits", [&] { return why() == "NoSuccessor"; });
  EXPECT_EQ(stand_in_->Switchovers(), 1);
  control_plane_.Kubectl({"uncordon", "n-1"});
  WaitFor("somebody fits again", [&] { return master() == "orders-1" && why().empty(); });
  EXPECT_EQ(stand_in_->Switchovers(), 2);
}

TEST_F(OperatorServerTest, VolumesGrow) {
  const auto program = StartOperator();
  control_plane_.Kubectl({"apply", "-f", WriteFile("classes.yaml", kStorageClasses)});
  for (const std::string name : {"grows", "fixed"}) {
    Json group = GroupOf(name, 2);
    group["spec"]["storage"]["storageClassName"] = name;
    for (int i = 0; i < 2; ++i) MakeVolume(name, fmt::format("data-{}-{}", name, i));
    ASSERT_OK(client_.Run(Create(BrokerGroupType(), group)));
    WaitUntilReady(name);
    WaitFor("its volumes are there", [&] {
      return ConditionReason(BrokerGroupType(), name, "StorageReady") == "AsAsked" &&
             IsBound(fmt::format("data-{}-0", name)) && IsBound(fmt::format("data-{}-1", name));
    });
  }
  const std::string set(k8s::UidOf(Get(StatefulSetType(), "grows")));
  const std::string pod(k8s::UidOf(Get(PodType(), "grows-1")));
  const std::string fixed_set(k8s::UidOf(Get(StatefulSetType(), "fixed")));
  for (const std::string name : {"grows", "fixed"}) Edit(name, {{"storage", {{"size", "2Gi"}}}});

  WaitFor("the claims ask for more",
          [&] { return SizeOf("data-grows-0") == "2Gi" && SizeOf("data-grows-1") == "2Gi"; });
  WaitFor("the StatefulSet is another one", [&] {
    const Json now = Get(StatefulSetType(), "grows");
    return !now.is_null() && k8s::UidOf(now) != set;
  });
  WaitFor("it has taken the pods over", [&] {
    return k8s::ControllerUidOf(Get(PodType(), "grows-1")) ==
           k8s::UidOf(Get(StatefulSetType(), "grows"));
  });
  EXPECT_EQ(ConditionReason(BrokerGroupType(), "grows", "StorageReady"), "Resizing");
  for (const std::string claim : {"data-grows-0", "data-grows-1"}) {
    SetStatus(PersistentVolumeClaimType(), claim, {{"capacity", {{"storage", "2Gi"}}}});
  }
  WaitFor("it is said to be done",
          [&] { return ConditionReason(BrokerGroupType(), "grows", "StorageReady") == "AsAsked"; });
  WaitUntilReady("grows", 2);
  EXPECT_EQ(k8s::UidOf(Get(PodType(), "grows-1")), pod) << "a pod was replaced";

  // A new member's is as large from the beginning.
  Edit("grows", {{"replicas", 3}});
  WaitFor("the new claim", [&] { return SizeOf("data-grows-2") == "2Gi"; });

  WaitFor("what is refused is told",
          [&] { return ConditionReason(BrokerGroupType(), "fixed", "StorageReady") == "Refused"; });
  EXPECT_EQ(SizeOf("data-fixed-0"), "1Gi");
  EXPECT_EQ(k8s::UidOf(Get(StatefulSetType(), "fixed")), fixed_set);
}

// Figures for docs: memory, time of a look, requests of groups that are as they should be.
TEST_F(OperatorServerTest, ManyGroups) {
  const char* const given = std::getenv("DUNLIN_OPERATOR_GROUPS");
  const int groups = given == nullptr ? 30 : std::stoi(given);
  const auto program = StartOperator();
  const Timestamp begun = clock_.Now();
  for (int i = 0; i < groups; ++i) {
    ASSERT_OK(client_.Run(Create(BrokerGroupType(), GroupOf(fmt::format("g-{}", i), 1))));
  }
  for (int i = 0; i < groups; ++i) WaitUntilReady(fmt::format("g-{}", i));
  const auto made = clock_.Now() - begun;
  const double before = program->Requests();
  const double looks = program->Metric("dunlin_operator_reconciles_total");
  // Each is looked at again, though nothing has changed.
  WaitFor("all were looked at again",
          [&] { return program->Metric("dunlin_operator_reconciles_total") >= looks + groups; });
  const double after = program->Requests();
  fmt::print("{} groups: ready after {} s; {:.0f} MiB; {:.0f} requests in {:.0f} looks when idle\n",
             groups, std::chrono::duration_cast<std::chrono::seconds>(made).count(),
             program->Memory(), after - before,
             program->Metric("dunlin_operator_reconciles_total") - looks);
  fmt::print("{}\n", program->Text());
  // The last groups may have had a status to write when the count began.
  EXPECT_LT(after - before, groups * 0.2 + 20);
}

}  // namespace
}  // namespace dunlin::op
