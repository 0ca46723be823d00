// LiteBatch: what a send to a LITE topic appends: for lightweight topics that are new, the records
// that tell their numbers, then the messages.

#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "services/broker/lite/lite_table.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/wire/send_scanner.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

class LiteBatch {
 public:
  // REQUIRES: the messages are of kind LITE. All must outlive the batch. Error:
  // LITE_TOPIC_QUOTA_EXCEEDED.
  absl::Status Plan(LiteTable& table, const Topic& topic, const RawSend& send);

  const std::vector<store::NewRecord>& Records() const { return records_; }
  // How many of them stand before the first message.
  size_t Announcements() const { return announcements_.size(); }
  // They were appended. Of the arguments of Plan only the table is touched.
  void Appended();

 private:
  LiteTable* table_ = nullptr;
  std::chrono::minutes expiration_{0};  // of the topic
  std::vector<LiteTable::Pin> pins_;    // one per message: none is removed before it is appended to
  std::vector<std::string> announcements_;
  std::vector<std::string_view> pieces_;  // the same
  std::vector<store::NewRecord> records_;
};

}  // namespace dunlin::broker
