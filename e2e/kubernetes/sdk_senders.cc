#include "e2e/kubernetes/sdk_senders.h"

#include <chrono>
#include <cstdlib>
#include <utility>

#include "absl/status/statusor.h"
#include "dunlin/client.h"
#include "dunlin/message.h"

#include "e2e/harness/payload.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

constexpr size_t kBodyBytes = 128;
// Between two messages; after a refusal, too.
constexpr std::chrono::milliseconds kPause{2};

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

SdkSenders::SdkSenders(std::string endpoint, std::string topic, History& history)
    : endpoint_(std::move(endpoint)), topic_(std::move(topic)), history_(history) {}

SdkSenders::~SdkSenders() { Stop(); }

absl::Status SdkSenders::Start() {
  const ClientOptions options{.endpoint = endpoint_,
                              .access_key = Variable("DUNLIN_ACCESS_KEY"),
                              .secret_key = Variable("DUNLIN_SECRET_KEY"),
                              .connect_timeout = std::chrono::milliseconds(0)};
  ASSIGN_OR_RETURN(const Client client, Client::Connect(options));
  for (uint32_t number = 0; number < history_.producers(); ++number) {
    ASSIGN_OR_RETURN(Producer producer, client.MakeProducer({}));
    threads_.emplace_back(
        [this, number, own = std::move(producer)]() mutable { Send(number, std::move(own)); });
  }
  return absl::OkStatus();
}

void SdkSenders::Send(uint32_t number, Producer producer) {
  while (Pause()) {
    Message message{.topic = topic_};
    const Identity identity = history_.Send(number);
    FillPayload(identity, kBodyBytes, message.body);
    const absl::StatusOr<Receipt> receipt = producer.Send(message);
    if (receipt.ok()) {
      acknowledged_.fetch_add(1, std::memory_order_relaxed);
      if (receipt->offset >= 0) history_.Acknowledge(identity, receipt->offset);
      continue;
    }
    MutexLock lock(mutex_);
    if (refused_.fetch_add(1, std::memory_order_relaxed) == 0) {
      refusal_ = receipt.status().ToString();
    }
  }
}

bool SdkSenders::Pause() {
  const auto until = std::chrono::steady_clock::now() + kPause;
  MutexLock lock(mutex_);
  while (!stopping_ && changed_.WaitUntil(mutex_, until)) {
  }
  return !stopping_;
}

void SdkSenders::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

std::string SdkSenders::FirstRefusal() {
  MutexLock lock(mutex_);
  return refusal_;
}

}  // namespace dunlin::e2e
