#include "services/broker/registration/cluster_routes.h"

#include <chrono>
#include <utility>

#include "services/base/log.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::milliseconds kPatience{500};  // with each name service
constexpr int kFirstReconnectMs = 100;
constexpr int kLongestReconnectMs = 2'000;
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  // What gRPC calls the least time between two attempts to connect is the most that one gets.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(kPatience.count()));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
  // A name service may come back under its name with another address.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kLongestReconnectMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Else the third ping of those in a row waits until there is something else to send.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

}  // namespace

struct ClusterRoutes::Question {
  v2::QueryRouteRequest request;
  std::string zone;
  size_t asking = 0;  // a name service
  size_t asked = 0;   // so many of them
  std::unique_ptr<grpc::ClientContext> context;
  v2::QueryRouteResponse response;
  Then then;
};

ClusterRoutes::ClusterRoutes(const std::vector<std::string>& name_services,
                             const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  for (const std::string& address : name_services) {
    stubs_.push_back(v2::MessagingService::NewStub(MakeChannel(address, credentials)));
  }
}

ClusterRoutes::~ClusterRoutes() {
  MutexLock lock(mutex_);
  while (open_ > 0) changed_.Wait(mutex_);
}

void ClusterRoutes::Query(const v2::Resource& topic, const Viewer& viewer, Then then) {
  {
    MutexLock lock(mutex_);
    ++open_;
  }
  auto question = std::make_shared<Question>();
  *question->request.mutable_topic() = topic;
  *question->request.mutable_endpoints() = viewer.reached;
  question->zone = viewer.zone;
  question->asking = first_.load(std::memory_order_relaxed);
  question->then = std::move(then);
  Ask(std::move(question));
}

void ClusterRoutes::Ask(std::shared_ptr<Question> question) {
  question->context = std::make_unique<grpc::ClientContext>();
  question->context->AddMetadata("x-mq-client-id", "broker");
  if (!question->zone.empty()) question->context->AddMetadata("x-dunlin-zone", question->zone);
  question->context->set_deadline(std::chrono::system_clock::now() + kPatience);
  ++question->asked;
  Question& asked = *question;
  stubs_[asked.asking]->async()->QueryRoute(
      asked.context.get(), &asked.request, &asked.response,
      [this, question = std::move(question)](const grpc::Status& status) {
        OnAnswer(question, status);
      });
}

void ClusterRoutes::OnAnswer(const std::shared_ptr<Question>& question,
                             const grpc::Status& status) {
  const v2::Code code = question->response.status().code();
  const bool answered = status.ok() && (code == v2::OK || code == v2::TOPIC_NOT_FOUND);
  if (!answered && question->asked < stubs_.size()) {
    question->asking = (question->asking + 1) % stubs_.size();
    return Ask(question);
  }
  const std::string why_not =
      status.ok() ? question->response.status().message() : status.error_message();
  Count(answered, why_not);
  if (answered) {
    first_.store(question->asking, std::memory_order_relaxed);
    question->then(std::move(question->response));
  } else {
    question->then(absl::UnavailableError(why_not));
  }
  // It refers to the channel, which must not go here, on a thread of gRPC's own.
  question->context.reset();
  MutexLock lock(mutex_);
  --open_;
  changed_.SignalAll();
}

void ClusterRoutes::Count(bool answered, const std::string& why_not) {
  ++(answered ? counts_->answered : counts_->unanswered);
  if (failing_.exchange(!answered) == !answered) return;
  if (answered) {
    log::Info("a name service tells routes of other brokers again");
  } else {
    log::Warning(
        "no name service tells routes of other brokers: {}; consumers that ask for their "
        "assignments go on with those that they have, and nothing is passed on to other brokers",
        why_not);
  }
}

}  // namespace dunlin::broker
