// RecordView: a checked record where it lies in the mapped log; DamagedRange: where none does.

#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "services/base/strong_int.h"
#include "services/store/log/record.h"

namespace dunlin::store {

// A record in the mapped log, checked; keeps its segment mapped while it lives.
class RecordView {
 public:
  RecordView() = default;
  RecordView(RecordHeader header, std::string_view payload, std::shared_ptr<const void> pin)
      : header_(header), payload_(payload), pin_(std::move(pin)) {}

  const RecordHeader& header() const { return header_; }
  std::string_view payload() const { return payload_; }
  const std::shared_ptr<const void>& pin() const { return pin_; }
  // Header, payload and padding as they stand in the log. REQUIRES: that is where the view is into.
  std::string_view bytes() const {
    return {payload_.data() - kRecordHeaderSize, static_cast<size_t>(end() - header_.log_offset)};
  }
  // Offset of the record that follows this one in the log.
  LogOffset end() const;

 private:
  RecordHeader header_;
  std::string_view payload_;
  std::shared_ptr<const void> pin_;
};

// [begin, end) of the log that fails its checks.
struct DamagedRange {
  LogOffset begin;
  LogOffset end;
};

}  // namespace dunlin::store
