// DeadLetters: puts messages that a group could not consume into its dead-letter topic.
//
// One DELIVERY record both places the message in `%DLQ%group` and ends its flight in the group, so
// a crash neither loses nor repeats the step. The topic is made at the first dead letter. Work is
// done on an executor, since it may have to wait for the log.

#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "services/broker/progress/progress.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/trace/message_trace.h"
#include "services/runtime/executor.h"
#include "services/store/dispatch/dispatcher.h"

namespace dunlin::broker {

class DeadLetters {
 public:
  // All arguments must outlive the object.
  DeadLetters(TopicTable& topics, store::Dispatcher& dispatcher, Progress& progress,
              MessageTrace& trace, Executor& executor);

  struct Letter {
    std::shared_ptr<const Group> group;
    ReceiptHandle handle;    // of the in-flight entry that ends
    LogOffset message;       // the MESSAGE record
    uint32_t attempts = 0;   // deliveries made
    bool forwarded = false;  // a consumer gave it up before its last attempt
  };
  // `done` is told on the executor when the letter is durable, or why it is not:
  // INVALID_RECEIPT_HANDLE when the message was done or delivered again before its turn came. When
  // the executor has no room the status is returned and `done` is dropped: the lease ends, and it
  // is tried again.
  absl::Status Submit(Letter letter, absl::AnyInvocable<void(const absl::Status&)> done);

 private:
  absl::Status Store(const Letter& letter);

  TopicTable& topics_;
  store::Dispatcher& dispatcher_;
  Progress& progress_;
  MessageTrace& trace_;
  Executor& executor_;
};

}  // namespace dunlin::broker
