#include "services/broker/delivery/dead_letters.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {
namespace {

// A dead-letter topic takes messages of every kind: NORMAL to PRIORITY.
constexpr uint32_t kEveryKind = 0b1111110;

absl::StatusOr<std::shared_ptr<const Topic>> FindOrCreateTopic(TopicTable& topics,
                                                               const Group& group) {
  const std::string name = fmt::format("{}{}", kDeadLetterPrefix, group.name);
  std::shared_ptr<const Topic> topic = topics.FindTopic(group.name_space, name);
  if (topic != nullptr) return topic;
  TopicTable::TopicSpec spec;
  spec.name_space = group.name_space;
  spec.name = name;
  spec.queues = 1;
  spec.kinds = kEveryKind;
  spec.description = fmt::format("messages that group {} could not consume", group.name);
  absl::StatusOr<std::shared_ptr<const Topic>> created = topics.CreateTopic(spec);
  // Somebody else may have been faster.
  if (absl::IsAlreadyExists(created.status())) return topics.FindTopic(group.name_space, name);
  return created;
}

}  // namespace

DeadLetters::DeadLetters(TopicTable& topics, store::Dispatcher& dispatcher, Progress& progress,
                         MessageTrace& trace, Executor& executor)
    : topics_(topics),
      dispatcher_(dispatcher),
      progress_(progress),
      trace_(trace),
      executor_(executor) {}

absl::Status DeadLetters::Submit(Letter letter,
                                 absl::AnyInvocable<void(const absl::Status&)> done) {
  return executor_.Run([this, letter = std::move(letter), done = std::move(done)]() mutable {
    // The task may have waited for longer than the message was hidden: then another one for the
    // same message stands behind this one, or a consumer has it again.
    if (!progress_.IsPending(letter.handle)) {
      return done(PublicError(PublicCode::kInvalidReceiptHandle,
                              "the message is done, or was delivered again meanwhile"));
    }
    const absl::Status status = Store(letter);
    if (status.ok()) {
      progress_.Finish(letter.handle);
      trace_.Note(TraceStep::kDeadLettered, letter.handle.queue, letter.handle.offset, 1,
                  {.group = letter.group->id, .attempt = letter.attempts});
    }
    done(status);
  });
}

absl::Status DeadLetters::Store(const Letter& letter) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindOrCreateTopic(topics_, *letter.group));
  if (topic == nullptr) return absl::AbortedError("the dead-letter topic was just deleted");
  storage::v1::Delivery delivery;
  delivery.set_origin_log_offset(letter.message.value());
  delivery.set_origin_topic_id(letter.handle.queue.topic.value());
  delivery.set_origin_queue(letter.handle.queue.queue);
  delivery.set_origin_queue_offset(letter.handle.offset.value());
  delivery.set_group_id(letter.group->id.value());
  delivery.set_attempts(letter.attempts);
  delivery.set_reason(letter.forwarded ? storage::v1::FORWARDED : storage::v1::ATTEMPTS_EXHAUSTED);
  const std::string bytes = delivery.SerializeAsString();
  const std::array<std::string_view, 1> payload = {bytes};
  store::NewRecord record;
  record.kind = store::RecordKind::kDelivery;
  record.queue = {topic->id, 0};
  record.tail = topic->tails[0].get();
  record.payload = payload;
  return dispatcher_.AppendPointers({&record, 1}, letter.message);
}

}  // namespace dunlin::broker
