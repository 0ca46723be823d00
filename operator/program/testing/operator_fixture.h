// OperatorServerTest: operators as processes, a real API server with its controllers, and a
// stand-in that does what kubelets and members would.

#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
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
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::op {
using k8s::Json;

inline constexpr char kSpace[] = "shop";

inline k8s::ResourceType Definitions() {
  return {.group = "apiextensions.k8s.io",
          .version = "v1",
          .plural = "customresourcedefinitions",
          .kind = "CustomResourceDefinition",
          .namespaced = false};
}
inline k8s::ResourceType Namespaces() {
  return {.group = "",
          .version = "v1",
          .plural = "namespaces",
          .kind = "Namespace",
          .namespaced = false};
}

inline Json GroupOf(const std::string& name, int replicas) {
  Json group = k8s::NewObject(BrokerGroupType(), {kSpace, name});
  group["spec"] = {{"nameServers", {"names:9876"}},
                   {"replicas", replicas},
                   {"image", "example.com/dunlin:1"},
                   {"storage", {{"size", "1Gi"}}},
                   {"replication", {{"mode", replicas > 1 ? "Sync" : "Async"}}}};
  return group;
}

// What is served at 127.0.0.1:PORT/metrics.
inline std::string Scrape(int port) {
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
    Mutex mutex;
    CondVar never;
    const Timestamp deadline = clock_.Now() + patience_;
    while (!is_so()) {
      ASSERT_LT(clock_.Now(), deadline)
          << "not so: " << what << "\n"
          << control_plane_.Kubectl(
                 {"-n", kSpace, "get", "bg,mqt,mqcg,mqu,sts,pods,leases,events", "-o", "wide"},
                 true);
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
  std::chrono::seconds patience_{300};  // of WaitFor
  std::string kubeconfig_;
  k8s::ControlPlane control_plane_;
  k8s::CurlLoop loop_;
  k8s::Client client_;
  std::unique_ptr<StandIn> stand_in_;
  std::vector<std::shared_ptr<OperatorProcess>> operators_;
};

}  // namespace dunlin::op
