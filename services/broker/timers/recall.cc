#include "services/broker/timers/recall.h"

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <string_view>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;

// How long the index may take to learn of what was just stored, delivered or recalled.
constexpr milliseconds kPatience{2000};
constexpr milliseconds kStep{20};

absl::Status Append(store::CommitLog& log, store::TimerKey timer) {
  storage::v1::Recall recall;
  recall.set_due_ms(ToUnixMillis(timer.due));
  recall.set_timer_id(timer.id.value());
  const std::string bytes = recall.SerializeAsString();
  const std::string_view payload = bytes;
  store::NewRecord record;
  record.kind = store::RecordKind::kRecall;
  record.payload = {&payload, 1};
  return log.AppendAndWait(record).status();
}

}  // namespace

absl::Status Recall(store::CommitLog& log, store::Dispatcher& dispatcher, store::TimerKey timer,
                    TopicId topic) {
  if (timer.id >= log.end()) {
    return PublicError(PublicCode::kBadRequest,
                       "the recall handle is of a message that this broker does not hold");
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  LogOffset seen = dispatcher.dispatched().Get();
  while (std::chrono::steady_clock::now() < deadline) {
    if (seen > timer.id) {
      const absl::StatusOr<store::Timer> taken = dispatcher.timers().Take(timer);
      if (taken.ok() && taken->queue.topic != topic) {
        dispatcher.timers().GiveBack({&*taken, 1});
        return PublicError(PublicCode::kBadRequest,
                           "the recall handle is of a message of another topic");
      }
      if (taken.ok()) {
        const absl::Status appended = Append(log, timer);
        // A log that failed may have it all the same: the timer stays taken, as it would be after
        // the restart that follows.
        if (absl::IsResourceExhausted(appended)) dispatcher.timers().GiveBack({&*taken, 1});
        return appended;
      }
      if (absl::IsAlreadyExists(taken.status())) return absl::OkStatus();
      if (absl::IsNotFound(taken.status())) {
        return PublicError(PublicCode::kMessageNotFound,
                           fmt::format("the message was due at {} ms and has been delivered: it "
                                       "cannot be recalled any more",
                                       ToUnixMillis(timer.due)));
      }
      if (!absl::IsAborted(taken.status())) return taken.status();
    }
    seen = dispatcher.dispatched().WaitAbove(seen, kStep);
  }
  return PublicError(PublicCode::kTooManyRequests,
                     "the broker is behind with what was stored; try again later");
}

}  // namespace dunlin::broker
