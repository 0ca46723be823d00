// A member as slave: it makes its log a prefix of its master's, then follows.
#include <fmt/format.h>

#include <algorithm>

#include "services/replicator/roles/member.h"

namespace dunlin::replicator {

Hello Member::hello() const {
  return {.member = options_.name,
          .history = log_.history,
          .end = log_.end,
          .highest_epoch = highest_epoch_};
}

void Member::OnStreamStart(uint64_t stream, const StreamStart& start, Instant now) {
  if (mastership_ == nullptr && failure_.empty()) Match(stream, start);
  Advance(now);
}

// Below what is known to be confirmed nothing is cut off, with two exceptions that are no surprise:
// the mode allows it, or an operator began an epoch with less.
bool Member::MayDiscardConfirmed(const StreamStart& start) const {
  return options_.mode == Mode::kAsync || options_.flush == Flush::kAsync ||
         (log_.history.last() < start.unclean_epoch && start.unclean_epoch <= start.epoch);
}

void Member::Match(uint64_t stream, const StreamStart& start) {
  stream_ = 0;
  mirror_ready_ = false;
  stream_confirm_.reset();
  const auto refuse = [&](absl::Status why) {
    actions_.push_back(action::DropStream{stream, std::move(why)});
  };
  if (start.epoch < highest_epoch_) {
    return refuse(absl::FailedPreconditionError(
        fmt::format("this is a master of epoch {}, and {} has seen epoch {}", start.epoch.value(),
                    options_.name, highest_epoch_.value())));
  }
  const LogOffset kept = start.common.has_value() ? start.common->offset : start.start;
  if (kept > log_.end && start.common.has_value()) {
    return refuse(absl::InternalError(fmt::format(
        "the master would truncate to {}, behind the end {}", kept.value(), log_.end.value())));
  }
  const bool discards_confirmed = kept < confirm_;
  if (discards_confirmed && !MayDiscardConfirmed(start)) {
    return refuse(absl::DataLossError(
        fmt::format("following the master of epoch {} would discard confirmed records from {} to "
                    "{}: its log is not a continuation of this one. Elect this member instead, or "
                    "empty its store to let it begin anew",
                    start.epoch.value(), kept.value(), confirm_.value())));
  }
  // A log that was never the group's is somebody's only copy.
  if (!start.common.has_value() && !promise_.has_value() && log_.end > log_.start) {
    return refuse(absl::FailedPreconditionError(
        fmt::format("the store holds a log ({} to {}) that has nothing in common with the group's. "
                    "Move it away to let this member begin anew",
                    log_.start.value(), log_.end.value())));
  }
  stream_ = stream;
  stream_epoch_ = start.epoch;
  master_start_ = start.start;
  See(start.epoch);
  confirm_ = std::min(confirm_, kept);
  if (!start.common.has_value()) {
    // Nothing there and nothing to throw away is common enough.
    const bool empty = log_.end == log_.start && log_.history.empty() && log_.end == start.start;
    mirror_ready_ = empty;
    if (!empty) actions_.push_back(action::Reset{stream, start.start, discards_confirmed});
    return;
  }
  mirror_ready_ = kept == log_.end && start.common->epoch == log_.history.last();
  if (!mirror_ready_) {
    actions_.push_back(action::Truncate{stream, *start.common, discards_confirmed});
  }
}

void Member::OnMirrorReady(uint64_t stream, Instant now) {
  if (stream == stream_ && stream_ != 0) mirror_ready_ = true;
  Advance(now);
}

absl::Status Member::OnFrame(uint64_t stream, LogOffset confirm, LogOffset master_start,
                             Instant now) {
  if (stream != stream_ || stream_ == 0 || !mirror_ready_) {
    return absl::FailedPreconditionError("a frame of a stream that is not followed");
  }
  if (stream_epoch_ < highest_epoch_) {
    return absl::FailedPreconditionError(
        fmt::format("a frame of a master of epoch {}, and {} has seen epoch {}",
                    stream_epoch_.value(), options_.name, highest_epoch_.value()));
  }
  stream_confirm_ = std::max(confirm, stream_confirm_.value_or(LogOffset(0)));
  master_start_ = master_start;
  Advance(now);
  return absl::OkStatus();
}

void Member::OnStreamBroken(uint64_t stream, Instant now) {
  if (stream == stream_) {
    stream_ = 0;
    mirror_ready_ = false;
  }
  Advance(now);
}

std::optional<Ack> Member::ack(uint64_t stream) const {
  if (stream != stream_ || stream_ == 0 || !mirror_ready_) return std::nullopt;
  if (stream_epoch_ < highest_epoch_) return std::nullopt;
  return Ack{.epoch = log_.history.last(), .received = log_.end, .flushed = log_.flushed};
}

// As slave: what the master says, as far as this log goes. As master: what the rule says.
void Member::AdvanceConfirm() {
  if (mastership_ != nullptr) {
    const std::optional<LogOffset> confirmed = mastership_->Confirm(log_);
    if (confirmed.has_value()) confirm_ = std::max(confirm_, *confirmed);
    return;
  }
  if (stream_ == 0 || !mirror_ready_ || !stream_confirm_.has_value()) return;
  confirm_ = std::max(confirm_, std::min(*stream_confirm_, log_.end));
  // From here on this store is one of the group: it has what anybody was told is there.
  if (!promise_.has_value() && log_.history.last() == stream_epoch_ &&
      log_.end >= *stream_confirm_) {
    Persist(stream_epoch_);
  }
}

}  // namespace dunlin::replicator
