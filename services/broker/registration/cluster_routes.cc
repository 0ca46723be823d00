#include "services/broker/registration/cluster_routes.h"

#include <chrono>
#include <utility>

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::milliseconds kPatience{2'000};
constexpr int kFirstReconnectMs = 100;
constexpr int kLongestReconnectMs = 2'000;

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

struct ClusterRoutes::Question {
  v2::QueryRouteRequest request;
  std::string zone;
  std::chrono::system_clock::time_point deadline;
  size_t next = 0;  // name service to be asked
  std::unique_ptr<grpc::ClientContext> context;
  v2::QueryRouteResponse response;
  Then then;
};

ClusterRoutes::ClusterRoutes(const std::vector<std::string>& name_services) {
  for (const std::string& address : name_services) {
    stubs_.push_back(v2::MessagingService::NewStub(MakeChannel(address)));
  }
}

ClusterRoutes::~ClusterRoutes() {
  MutexLock lock(mutex_);
  while (open_ > 0) changed_.Wait(mutex_);
}

void ClusterRoutes::Query(const v2::Resource& topic, const std::string& zone, Then then) {
  {
    MutexLock lock(mutex_);
    ++open_;
  }
  auto question = std::make_shared<Question>();
  *question->request.mutable_topic() = topic;
  question->zone = zone;
  question->deadline = std::chrono::system_clock::now() + kPatience;
  question->then = std::move(then);
  Ask(std::move(question));
}

void ClusterRoutes::Ask(std::shared_ptr<Question> question) {
  question->context = std::make_unique<grpc::ClientContext>();
  question->context->AddMetadata("x-mq-client-id", "broker");
  if (!question->zone.empty()) question->context->AddMetadata("x-dunlin-zone", question->zone);
  question->context->set_deadline(question->deadline);
  Question& asked = *question;
  stubs_[asked.next++]->async()->QueryRoute(
      asked.context.get(), &asked.request, &asked.response,
      [this, question = std::move(question)](const grpc::Status& status) {
        OnAnswer(question, status);
      });
}

void ClusterRoutes::OnAnswer(const std::shared_ptr<Question>& question,
                             const grpc::Status& status) {
  const bool answered = status.ok() && question->response.status().code() == v2::OK;
  if (!answered && question->next < stubs_.size()) return Ask(question);
  if (answered) {
    question->then(std::move(question->response));
  } else {
    question->then(absl::UnavailableError(status.ok() ? question->response.status().message()
                                                      : status.error_message()));
  }
  MutexLock lock(mutex_);
  --open_;
  changed_.SignalAll();
}

}  // namespace dunlin::broker
