#include "e2e/chaos/fifo/stuck.h"

#include <fmt/format.h>

#include <chrono>
#include <vector>

#include "e2e/chaos/fifo/calls.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e::fifo {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

// Of each message group, stuck or not.
constexpr int kPerGroup = 50;
constexpr int kBatch = 32;
constexpr seconds kHeld{3600};
constexpr seconds kLease{60};
constexpr seconds kPatience{30};

// Message groups numbered from 0 are free, from `free` on stuck.
class Run {
 public:
  Run(const std::string& address, const std::string& topic, const StuckRun& run)
      : address_(address),
        topic_(topic),
        link_(address, 0),
        free_(std::max(1, run.messages / kPerGroup)),
        groups_(free_ + run.stuck),
        next_(static_cast<size_t>(groups_), 0) {}

  absl::StatusOr<double> Measure() {
    RETURN_IF_ERROR(CreateTopic(address_, topic_, 1));
    RETURN_IF_ERROR(CreateOrderedGroup(address_, topic_));
    RETURN_IF_ERROR(Send(0, free_, groups_));
    std::vector<v2::Message> held;
    const v2::ReceiveMessageRequest hold = ReceiveRequest(topic_, topic_, kBatch, kHeld, "");
    RETURN_IF_ERROR(Hold(hold, held));
    RETURN_IF_ERROR(Send(0, 0, free_));
    for (int number = 1; number < kPerGroup; ++number) RETURN_IF_ERROR(Send(number, 0, groups_));

    const auto begun = steady_clock::now();
    RETURN_IF_ERROR(Consume(free_ * kPerGroup, 0, free_));
    const double taken = std::chrono::duration<double>(steady_clock::now() - begun).count();

    std::vector<const v2::Message*> heads;
    for (const v2::Message& head : held) heads.push_back(&head);
    link_.Acknowledge(hold, heads);
    RETURN_IF_ERROR(Consume((groups_ - free_) * (kPerGroup - 1), free_, groups_));
    return free_ * kPerGroup / taken;
  }

 private:
  // Message `number` of each of the groups.
  absl::Status Send(int number, int first, int end) {
    for (int group = first; group < end;) {
      v2::SendMessageRequest request;
      for (; group < end && request.messages_size() < kBatch; ++group) {
        AddMessage(request, topic_, {group, number});
      }
      if (!link_.Send(request)) return absl::UnavailableError("a send was refused");
    }
    return absl::OkStatus();
  }

  absl::Status Hold(const v2::ReceiveMessageRequest& request, std::vector<v2::Message>& held) {
    const auto deadline = steady_clock::now() + kPatience;
    while (static_cast<int>(held.size()) < groups_ - free_) {
      if (steady_clock::now() > deadline) return absl::DeadlineExceededError("no heads to hold");
      std::vector<v2::Message> messages;
      link_.Receive(request, messages);
      held.insert(held.end(), messages.begin(), messages.end());
    }
    for (int group = free_; group < groups_; ++group) next_[static_cast<size_t>(group)] = 1;
    return absl::OkStatus();
  }

  absl::Status Consume(int count, int first, int end) {
    const v2::ReceiveMessageRequest request = ReceiveRequest(topic_, topic_, kBatch, kLease, "");
    auto deadline = steady_clock::now() + kPatience;
    for (int done = 0; done < count;) {
      if (steady_clock::now() > deadline) {
        return absl::DeadlineExceededError(fmt::format(
            "{} of {} messages of groups that are not stuck do not come", count - done, count));
      }
      std::vector<v2::Message> messages;
      link_.Receive(request, messages);
      std::vector<const v2::Message*> taken;
      for (const v2::Message& message : messages) {
        const std::optional<Name> name = NameOf(message.body());
        if (!name.has_value() || name->group < first || name->group >= end ||
            name->number != next_[static_cast<size_t>(name->group)]) {
          return absl::DataLossError("out of turn: message " + message.body());
        }
        ++next_[static_cast<size_t>(name->group)];
        taken.push_back(&message);
      }
      link_.Acknowledge(request, taken);
      done += static_cast<int>(taken.size());
      if (!taken.empty()) deadline = steady_clock::now() + kPatience;
    }
    return absl::OkStatus();
  }

  const std::string address_;
  const std::string topic_;
  Link link_;
  const int free_;
  const int groups_;
  std::vector<int> next_;
};

}  // namespace

absl::StatusOr<double> ConsumePastStuck(const std::string& address, const std::string& topic,
                                        const StuckRun& run) {
  return Run(address, topic, run).Measure();
}

}  // namespace dunlin::e2e::fifo
