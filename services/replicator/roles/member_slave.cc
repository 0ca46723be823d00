// A member as slave: it makes its log a prefix of its master's, then follows.
#include <fmt/format.h>

#include <algorithm>

#include "services/replicator/roles/member.h"

namespace dunlin::replicator {

// A log that is not the group's has nothing in common with the group's, whatever its epochs.
Hello Member::hello() const {
  return {.member = options_.name,
          .history = of_group_ ? log_.history : EpochHistory(),
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
  // A log that was never the group's is somebody's only copy.
  if (!of_group_ && !HasNothing()) {
    return refuse(absl::FailedPreconditionError(
        fmt::format("the store holds a log ({} to {}) that is not the group's. Move it away to let "
                    "this member begin anew",
                    log_.start.value(), log_.end.value())));
  }
  if (start.epoch < highest_epoch_) {
    return refuse(absl::FailedPreconditionError(
        fmt::format("this is a master of epoch {}, and {} has seen epoch {}", start.epoch.value(),
                    options_.name, highest_epoch_.value())));
  }
  const LogOffset kept = start.common.has_value() ? start.common->offset : start.start;
  if (start.common.has_value() && (kept > log_.end || !of_group_)) {
    return refuse(
        absl::InternalError(fmt::format("the master would truncate to {}, behind the end {}",
                                        kept.value(), of_group_ ? log_.end.value() : 0)));
  }
  // Of what is here: a log that was emptied, for what it lacked had expired, has nothing to lose.
  const bool discards_confirmed = std::max(kept, log_.start) < std::min(confirm_, log_.end);
  if (discards_confirmed && !MayDiscardConfirmed(start)) {
    return refuse(absl::DataLossError(
        fmt::format("following the master of epoch {} would discard confirmed records from {} to "
                    "{}: its log is not a continuation of this one. Elect this member instead, or "
                    "empty its store to let it begin anew",
                    start.epoch.value(), kept.value(), confirm_.value())));
  }
  // The master has it, and what comes behind it; from where it is damaged on that is sent when this
  // member connects the next time.
  if (log_.damaged.has_value() && start.common.has_value() && *log_.damaged < kept) {
    Repair();
    return refuse(absl::UnavailableError("the log was damaged; connecting again to repair it"));
  }
  stream_ = stream;
  stream_epoch_ = start.epoch;
  master_start_ = start.start;
  See(start.epoch);
  confirm_ = std::min(confirm_, kept);
  if (!start.common.has_value()) {
    // Nothing there and nothing to throw away is common enough.
    mirror_ready_ = of_group_ && HasNothing() && log_.history.empty() && log_.end == start.start;
    if (!mirror_ready_) actions_.push_back(action::Reset{stream, start.start, discards_confirmed});
    return;
  }
  mirror_ready_ = kept == log_.end && start.common->epoch == log_.history.last();
  if (!mirror_ready_) {
    actions_.push_back(action::Truncate{stream, *start.common, discards_confirmed});
  }
}

void Member::Repair() {
  if (persisting_.has_value()) return;  // at the next connection
  promise_.reset();
  confirm_ = std::min(confirm_, *log_.damaged);
  actions_.push_back(action::Repair{log_.history.PointAt(*log_.damaged), highest_epoch_});
}

void Member::OnMirrorReady(uint64_t stream, Instant now) {
  if (stream == stream_ && stream_ != 0) {
    of_group_ = true;
    mirror_ready_ = true;
  }
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
  return Ack{.epoch = log_.history.last(),
             .received = log_.end,
             .flushed = log_.flushed,
             .leaving = leaving_};
}

bool Member::IsWaitedFor() const {
  if (options_.mode != Mode::kSync || !ack(stream_).has_value()) return false;
  if (!view_.has_value() || !view_->record.has_value()) return false;
  const std::set<MemberName>& in_sync = view_->record->in_sync;
  return in_sync.contains(options_.name) && in_sync.size() > options_.min_in_sync;
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
  // From here on this store may be elected: it has what anybody was told is there.
  if (!promise_.has_value() && log_.history.last() == stream_epoch_ &&
      log_.end >= *stream_confirm_) {
    Persist(stream_epoch_);
  }
}

}  // namespace dunlin::replicator
