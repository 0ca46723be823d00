#include "e2e/chaos/replication/prober.h"

#include <fmt/format.h>
#include <poll.h>

#include <memory>
#include <utility>

#include "e2e/harness/client.h"
#include "e2e/harness/payload.h"

namespace dunlin::e2e {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kCallPatience{1000};
constexpr int kPauseMs = 5;
constexpr size_t kBodyBytes = 128;

}  // namespace

v2::SendMessageRequest MessageOf(Identity identity, const std::string& topic) {
  v2::SendMessageRequest request;
  v2::Message& message = *request.add_messages();
  message.mutable_topic()->set_name(topic);
  FillPayload(identity, kBodyBytes, *message.mutable_body());
  v2::SystemProperties& properties = *message.mutable_system_properties();
  properties.set_message_id(MessageIdOf(identity));
  properties.set_message_type(v2::NORMAL);
  properties.set_body_encoding(v2::IDENTITY);
  return request;
}

Prober::Prober(std::vector<Target> targets, std::string topic, History& history)
    : topic_(std::move(topic)), history_(history) {
  for (Target& target : targets) {
    threads_.emplace_back([this, target = std::move(target)] { Run(target); });
  }
}

Prober::~Prober() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
}

void Prober::Run(const Target& target) {
  std::unique_ptr<V2Client> client;
  while (!stopping_) {
    // A new connection after one that failed: the old one's waits before it tries again.
    if (client == nullptr) client = std::make_unique<V2Client>(target.address, kCallPatience);
    const Identity identity = history_.Send(target.producer);
    const absl::StatusOr<int64_t> offset = client->Send(MessageOf(identity, topic_));
    const auto now = steady_clock::now();
    if (offset.ok()) history_.Acknowledge(identity, *offset);
    {
      MutexLock lock(mutex_);
      if (offset.ok() && !acknowledged_.has_value()) {
        acknowledged_ = now;
        stopping_ = true;
        changed_.SignalAll();
      }
      if (!offset.ok()) heard_ = fmt::format("{}: {}", target.address, offset.status().ToString());
    }
    if (absl::IsUnavailable(offset.status())) client.reset();
    if (!stopping_) poll(nullptr, 0, kPauseMs);
  }
}

absl::StatusOr<steady_clock::time_point> Prober::Await(std::chrono::seconds patience) {
  const auto deadline = steady_clock::now() + patience;
  MutexLock lock(mutex_);
  while (!acknowledged_.has_value()) {
    if (!changed_.WaitUntil(mutex_, deadline) && steady_clock::now() >= deadline) {
      return absl::DeadlineExceededError(
          fmt::format("nobody acknowledges within {} s: {}", patience.count(), heard_));
    }
  }
  return *acknowledged_;
}

}  // namespace dunlin::e2e
