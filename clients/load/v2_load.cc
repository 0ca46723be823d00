#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"

#include "clients/load/load.h"
#include "clients/load/pacer.h"
#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "services/base/mutex.h"

namespace dunlin::load {
namespace {

namespace v2 = apache::rocketmq::v2;

std::shared_ptr<grpc::Channel> Channel(const Target& target, int number) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("grpc.use_local_subchannel_pool", 1);  // a connection of its own
  arguments.SetInt("dunlin.load.number", number);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (target.tls) {
    grpc::SslCredentialsOptions tls;
    if (!target.tls_ca.empty()) {
      std::stringstream pem;
      pem << std::ifstream(target.tls_ca).rdbuf();
      tls.pem_root_certs = pem.str();
    }
    credentials = grpc::SslCredentials(tls);
  }
  return grpc::CreateCustomChannel(target.endpoint, credentials, arguments);
}

// Calls of SendMessage, so many at a time.
class Sender {
 public:
  explicit Sender(const ProduceOptions& options) : options_(options) {
    for (int i = 0; i < options.streams; ++i) {
      stubs_.push_back(v2::MessagingService::NewStub(Channel(options.target, i)));
    }
    MutexLock lock(mutex_);
    for (int i = 0; i < options.outstanding; ++i) free_.push_back(std::make_unique<Call>());
  }

  // Waits for a free call; if it may shed, it does not, and is false when there is none, or when
  // the broker wants to be left alone.
  bool Send(uint64_t first, uint64_t count, Clock::time_point due) {
    std::unique_ptr<Call> call;
    {
      MutexLock lock(mutex_);
      if (options_.shed && (free_.empty() || Clock::now() < held_until_)) return false;
      while (free_.empty()) freed_.Wait(mutex_);
      call = std::move(free_.back());
      free_.pop_back();
    }
    call->first = first;
    call->due = due;
    call->count = count;
    call->context = std::make_unique<grpc::ClientContext>();
    call->context->AddMetadata("x-mq-client-id", "dunlinctl-bench");
    if (!options_.target.name_space.empty()) {
      call->context->AddMetadata("x-mq-namespace", options_.target.name_space);
    }
    Sign(options_.target.credentials, std::chrono::system_clock::now(), *call->context);
    call->context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    Fill(*call, first);
    Call* const raw = call.release();
    stubs_[first / count % stubs_.size()]->async()->SendMessage(
        raw->context.get(), &raw->request, &raw->response,
        [this, raw](const grpc::Status& status) { Done(std::unique_ptr<Call>(raw), status); });
    return true;
  }

  // Waits for every call.
  void Finish(LoadResult& result) {
    MutexLock lock(mutex_);
    while (free_.size() < static_cast<size_t>(options_.outstanding)) freed_.Wait(mutex_);
    result.messages = messages_;
    result.errors = errors_;
    result.first_error = first_error_;
    result.latency = latency_;
    result.refused = refused_;
    result.refused_unhinted = refused_unhinted_;
  }
  uint64_t Messages() {
    MutexLock lock(mutex_);
    return messages_;
  }

 private:
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    v2::SendMessageRequest request;
    v2::SendMessageResponse response;
    Clock::time_point due;
    uint64_t first = 0;
    uint64_t count = 0;
  };

  void Fill(Call& call, uint64_t first) {
    while (static_cast<uint64_t>(call.request.messages_size()) < call.count) {
      v2::Message& message = *call.request.add_messages();
      message.mutable_topic()->set_resource_namespace(options_.target.name_space);
      message.mutable_topic()->set_name(options_.target.topic);
      message.mutable_system_properties()->set_message_type(v2::NORMAL);
      message.mutable_system_properties()->set_body_encoding(v2::IDENTITY);
    }
    for (uint64_t i = 0; i < call.count; ++i) {
      v2::Message& message = *call.request.mutable_messages(static_cast<int>(i));
      message.mutable_system_properties()->set_message_id(
          fmt::format("{:016X}{:016X}00", options_.run, first + i));
      std::string& body = *message.mutable_body();
      body.resize(options_.body_bytes);
      WriteBody(options_.run, first + i, call.due, body.data(), body.size());
    }
  }

  void Done(std::unique_ptr<Call> call, const grpc::Status& status) {
    const auto latency = Clock::now() - call->due;
    const auto code = call->response.status().code();
    MutexLock lock(mutex_);
    auto outcome = status.ok() ? Outcomes::kNotStored : Outcomes::kUnknown;
    if (status.ok() && code == v2::OK) {
      outcome = Outcomes::kStored;
      messages_ += call->count;
      latency_.Add(latency, call->count);
    } else if (status.ok() && code == v2::TOO_MANY_REQUESTS && options_.shed) {
      TakeRefusal(*call);
    } else {
      if (errors_ == 0) {
        first_error_ = status.ok() ? call->response.status().message() : status.error_message();
      }
      errors_ += call->count;
    }
    for (uint64_t i = 0; options_.outcomes != nullptr && i < call->count; ++i) {
      options_.outcomes->Set(call->first + i, outcome);
    }
    free_.push_back(std::move(call));
    freed_.Signal();
  }

  void TakeRefusal(const Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    refused_ += call.count;
    const auto& trailer = call.context->GetServerTrailingMetadata();
    const auto hint = trailer.find("grpc-retry-pushback-ms");
    int64_t wait_ms = 0;
    if (hint == trailer.end() ||
        !absl::SimpleAtoi(std::string(hint->second.data(), hint->second.size()), &wait_ms)) {
      refused_unhinted_ += call.count;
    } else if (!options_.ignore_hints) {
      held_until_ = std::max(held_until_, Clock::now() + std::chrono::milliseconds(wait_ms));
    }
  }

  const ProduceOptions& options_;
  std::vector<std::unique_ptr<v2::MessagingService::Stub>> stubs_;
  Mutex mutex_;
  CondVar freed_;
  std::vector<std::unique_ptr<Call>> free_ ABSL_GUARDED_BY(mutex_);
  uint64_t messages_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t errors_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string first_error_ ABSL_GUARDED_BY(mutex_);
  uint64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t refused_unhinted_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point held_until_ ABSL_GUARDED_BY(mutex_){};
  Histogram latency_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<LoadResult> ProduceV2(const ProduceOptions& options, const OnProgress& progress) {
  Sender sender(options);
  const auto batch = static_cast<uint64_t>(options.batch);
  Extent calls = options.extent;
  calls.messages = (calls.messages + batch - 1) / batch;
  LoadResult result;
  const double cpu = OwnCpuSeconds();
  const Clock::time_point begin = Clock::now();
  Pacer pacer(options.rate / options.batch, calls, progress);
  uint64_t call = 0;
  for (uint64_t next = 0; pacer.Next(call, [&] { return sender.Messages(); }); call = next) {
    next = call + 1;
    const Clock::time_point due = options.rate > 0 ? pacer.due() : Clock::now();
    if (!sender.Send(call * batch, batch, due)) {
      next = pacer.FirstNotDue(call);
      result.shed += (next - call) * batch;
    }
    if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) break;
  }
  result.due = call * batch;
  sender.Finish(result);
  result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  result.client_cpu_seconds = OwnCpuSeconds() - cpu;
  return result;
}

}  // namespace dunlin::load
