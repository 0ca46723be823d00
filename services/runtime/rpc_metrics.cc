#include "services/runtime/rpc_metrics.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "services/runtime/latency_metric.h"

namespace dunlin {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr std::string_view kOther = "other";

constexpr std::array<const char*, 17> kCodeNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

// Whether a contract that is linked into this program has the method. gRPC has its own health
// service without a descriptor.
bool IsKnown(std::string_view name) {
  if (name == "/grpc.health.v1.Health/Check" || name == "/grpc.health.v1.Health/Watch") return true;
  const size_t slash = name.rfind('/');
  if (name.empty() || name.front() != '/' || slash == 0) return false;
  std::string full(name.substr(1));
  full[slash - 1] = '.';
  return google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(full) != nullptr;
}

}  // namespace

// Made when a call begins, and goes when gRPC is done with it, however it ended.
class RpcMetrics::Call final : public grpc::experimental::Interceptor {
 public:
  Call(std::shared_ptr<RpcMetrics> metrics, Method& method, bool unary)
      : metrics_(std::move(metrics)), method_(method), unary_(unary) {
    method_.in_flight.fetch_add(1, std::memory_order_relaxed);
  }
  ~Call() override {
    method_.in_flight.fetch_sub(1, std::memory_order_relaxed);
    method_.ended[code_].fetch_add(1, std::memory_order_relaxed);
    if (unary_) method_.took.Record(std::chrono::steady_clock::now() - begun_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const auto code = static_cast<size_t>(batch->GetSendStatus().error_code());
      code_ = std::min(code, static_cast<size_t>(grpc::StatusCode::UNAUTHENTICATED));
    }
    batch->Proceed();
  }

 private:
  const std::shared_ptr<RpcMetrics> metrics_;
  Method& method_;
  const bool unary_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  // Without a status the client, or its connection, was gone first.
  size_t code_ = grpc::StatusCode::CANCELLED;
};

class RpcMetrics::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(std::shared_ptr<RpcMetrics> metrics) : metrics_(std::move(metrics)) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    // gRPC's to delete.
    return new Call(metrics_, metrics_->Find(info->method()),
                    info->type() == ServerRpcInfo::Type::UNARY);
  }

 private:
  const std::shared_ptr<RpcMetrics> metrics_;
};

const std::shared_ptr<RpcMetrics>& RpcMetrics::OfProcess() {
  // Never destroyed: gRPC may end a call while the process does.
  static const auto* const metrics =
      new std::shared_ptr<RpcMetrics>(std::make_shared<RpcMetrics>());
  return *metrics;
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> RpcMetrics::NewFactory() {
  return std::make_unique<Factory>(shared_from_this());
}

RpcMetrics::Method& RpcMetrics::Find(std::string_view name) {
  MutexLock lock(mutex_);
  if (const auto found = methods_.find(name); found != methods_.end()) return *found->second;
  std::unique_ptr<Method>& method = methods_[std::string(IsKnown(name) ? name : kOther)];
  if (method == nullptr) method = std::make_unique<Method>();
  return *method;
}

std::vector<MetricFamily> RpcMetrics::Collect() const {
  MetricFamily ended{.name = "dunlin_rpc_ended_total",
                     .help =
                         "Calls that have ended, by the gRPC status they were answered with; "
                         "CANCELLED: nobody waited for the answer.",
                     .type = MetricType::Counter,
                     .metric = {}};
  MetricFamily running{.name = "dunlin_rpc_in_flight",
                       .help = "Calls and streams that have not ended.",
                       .type = MetricType::Gauge,
                       .metric = {}};
  MetricFamily took{.name = "dunlin_rpc_duration_seconds",
                    .help = "How long unary calls took, from the headers to the last byte.",
                    .type = MetricType::Histogram,
                    .metric = {}};
  MutexLock lock(mutex_);
  for (const auto& [name, method] : methods_) {
    const ClientMetric::Label label{"method", name};
    for (size_t code = 0; code < kCodes; ++code) {
      const uint64_t count = method->ended[code].load(std::memory_order_relaxed);
      if (count == 0) continue;
      ClientMetric& metric = ended.metric.emplace_back();
      metric.label = {label, {"code", kCodeNames[code]}};
      metric.counter.value = static_cast<double>(count);
    }
    ClientMetric& in_flight = running.metric.emplace_back();
    in_flight.label = {label};
    in_flight.gauge.value = static_cast<double>(method->in_flight.load(std::memory_order_relaxed));
    ClientMetric latency = LatencyMetric(method->took.Read());
    if (latency.histogram.sample_count == 0) continue;
    latency.label = {label};
    took.metric.push_back(std::move(latency));
  }
  return {std::move(ended), std::move(running), std::move(took)};
}

}  // namespace dunlin
