#include "services/replicator/roles/mastership.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "services/base/check.h"

namespace dunlin::replicator {

Mastership::Mastership(const MemberOptions& options, Epoch epoch, int64_t version,
                       const std::set<MemberName>& in_sync, Instant now)
    : options_(options), epoch_(epoch), in_sync_(version, in_sync) {
  for (const MemberName& name : options_.members) {
    if (name != options_.name) slaves_[name] = Slave{.broken_since = now, .caught_up_at = now};
  }
  for (const MemberName& name : options_.learners) slaves_[name] = Slave{.broken_since = now};
}

// Who is new has caught up with nothing yet.
std::map<MemberName, uint64_t> Mastership::OnRoster() {
  if (!in_sync_.changing()) next_voters_.reset();
  std::map<MemberName, uint64_t> gone;
  for (auto slave = slaves_.begin(); slave != slaves_.end();) {
    const MemberName& name = slave->first;
    if (options_.members.contains(name) || options_.learners.contains(name)) {
      ++slave;
      continue;
    }
    if (slave->second.stream != 0) gone.emplace(name, slave->second.stream);
    slave = slaves_.erase(slave);
  }
  for (const auto* names : {&options_.members, &options_.learners}) {
    for (const MemberName& name : *names) {
      if (name != options_.name) slaves_.try_emplace(name);
    }
  }
  return gone;
}

void Mastership::Begin(LogOffset start) {
  begun_ = true;
  start_ = start;
}

StreamStart Mastership::Connect(uint64_t stream, const Hello& hello, const LogState& own,
                                Epoch unclean_epoch, Instant now) {
  CHECK(begun_);
  Slave& slave = slaves_.at(hello.member);
  slave.stream = stream;
  slave.ack.reset();
  slave.end_at_ack = own.end;
  slave.ack_at = now;
  StreamStart start{
      .epoch = epoch_, .common = {}, .start = own.start, .unclean_epoch = unclean_epoch};
  const auto common = EpochHistory::LastCommon(own.history, own.end, hello.history, hello.end);
  if (common.has_value() && common->offset >= own.start) start.common = common;
  return start;
}

Mastership::Slave* Mastership::ByStream(uint64_t stream) {
  for (auto& [name, slave] : slaves_) {
    if (slave.stream == stream) return &slave;
  }
  return nullptr;
}

Duration Mastership::LagLimit() const {
  return options_.mode == Mode::kSync ? options_.lag_limit : options_.async_lag_limit;
}

LogOffset Mastership::OffsetOf(const Ack& ack) const {
  return options_.flush == Flush::kSync ? ack.flushed : ack.received;
}

// Caught up: it has what this log had when it acknowledged the last time, so it had everything
// then. Against the end of now a slave of a busy master would always be behind.
void Mastership::OnAck(uint64_t stream, const Ack& ack, const LogState& own, Instant now) {
  Slave* slave = ByStream(stream);
  if (slave == nullptr) return;  // a former stream of a slave that came back
  slave->ack = ack;
  const LogOffset has = OffsetOf(ack);
  if (has >= own.end) {
    slave->caught_up_at = now;
  } else if (has >= slave->end_at_ack) {
    slave->caught_up_at = std::max(slave->caught_up_at, slave->ack_at);
  }
  slave->end_at_ack = own.end;
  slave->ack_at = now;
}

void Mastership::OnGone(uint64_t stream, Instant now) {
  Slave* slave = ByStream(stream);
  if (slave == nullptr) return;
  slave->stream = 0;
  slave->ack.reset();
  slave->broken_since = now;
}

// What a slave acknowledged stays true when its stream breaks, but counts again only when it comes
// back: until then it is the confirm offset that remembers it.
Acknowledged Mastership::AcknowledgedOffsets(const LogState& own) const {
  Acknowledged offsets;
  if (!begun_) return offsets;
  offsets[options_.name] = options_.flush == Flush::kSync ? own.flushed : own.end;
  for (const auto& [name, slave] : slaves_) {
    // An acknowledgement of an older epoch may be of bytes that are not in this log.
    if (slave.ack.has_value() && slave.ack->epoch == epoch_) offsets[name] = OffsetOf(*slave.ack);
  }
  return offsets;
}

std::optional<LogOffset> Mastership::Confirm(const LogState& own) const {
  if (!begun_) return std::nullopt;
  const bool quorum = options_.mode == Mode::kQuorum;
  const ConfirmRule rule(options_.mode, start_);
  const Acknowledged acknowledged = AcknowledgedOffsets(own);
  std::optional<LogOffset> confirm =
      rule.Confirm(quorum ? options_.members : in_sync_.Counted(), acknowledged, own.end);
  if (confirm.has_value() && quorum && next_voters_.has_value()) {
    const std::optional<LogOffset> next = rule.Confirm(*next_voters_, acknowledged, own.end);
    confirm = next.has_value() ? std::optional(std::min(*confirm, *next)) : std::nullopt;
  }
  // With too few copies nothing new is confirmed. What earlier masters left is, so that this one
  // can begin: nobody is told anything new by it.
  if (confirm.has_value() && options_.mode == Mode::kSync &&
      in_sync_.SureSize() < options_.min_in_sync) {
    return start_;
  }
  return confirm;
}

bool Mastership::ShouldLeave(const MemberName& name, LogOffset confirm, Instant now) const {
  if (name == options_.name) return false;
  const auto found = slaves_.find(name);
  if (found == slaves_.end() || !options_.members.contains(name)) return true;  // not configured
  const Slave& slave = found->second;
  if (slave.stream == 0) return now - slave.broken_since >= options_.broken_limit;
  // It lost what it had acknowledged (ASYNC_FLUSH and a loss of power): it must not be elected.
  if (slave.ack.has_value() && slave.ack->epoch == epoch_ && OffsetOf(*slave.ack) < confirm &&
      options_.mode == Mode::kSync) {
    return true;
  }
  return now - slave.caught_up_at >= LagLimit();
}

bool Mastership::IsLeaving(const MemberName& name) const {
  const auto found = slaves_.find(name);
  return options_.mode == Mode::kSync && found != slaves_.end() && found->second.ack.has_value() &&
         found->second.ack->leaving;
}

bool Mastership::ShouldJoin(const MemberName& name, const Slave& slave, LogOffset confirm,
                            Instant now) const {
  if (!options_.members.contains(name) || slave.stream == 0) return false;
  if (!slave.ack.has_value() || slave.ack->epoch != epoch_ || slave.ack->leaving) return false;
  // Who would have to leave at once does not join.
  if (now - slave.caught_up_at >= LagLimit()) return false;
  return options_.mode != Mode::kSync || OffsetOf(*slave.ack) >= confirm;
}

std::optional<std::set<MemberName>> Mastership::WantedSet(LogOffset confirm, Instant now) const {
  if (!begun_ || options_.mode == Mode::kQuorum || in_sync_.changing()) return std::nullopt;
  std::set<MemberName> wanted = {options_.name};
  std::set<MemberName> leaving;
  for (const MemberName& name : in_sync_.written()) {
    if (ShouldLeave(name, confirm, now)) continue;
    (IsLeaving(name) ? leaving : wanted).insert(name);
  }
  // Without it there would be too few, and nothing would be taken already now.
  while (wanted.size() < options_.min_in_sync && !leaving.empty()) {
    wanted.insert(leaving.extract(leaving.begin()));
  }
  for (const auto& [name, slave] : slaves_) {
    if (!in_sync_.written().contains(name) && ShouldJoin(name, slave, confirm, now)) {
      wanted.insert(name);
    }
  }
  if (wanted == in_sync_.written()) return std::nullopt;
  return wanted;
}

absl::Status Mastership::WhyNotVoters(const std::set<MemberName>& voters, const LogState& own,
                                      LogOffset confirm) const {
  const Acknowledged acknowledged = AcknowledgedOffsets(own);
  const LogOffset needed = std::max(confirm, start_);
  std::string missing;
  size_t have = 0;
  for (const MemberName& name : voters) {
    const auto found = acknowledged.find(name);
    if (found != acknowledged.end() && found->second >= needed) {
      ++have;
      continue;
    }
    if (!missing.empty()) missing += ", ";
    missing += found == acknowledged.end()
                   ? fmt::format("{} is not connected", name)
                   : fmt::format("{} lacks {} bytes", name, needed - found->second);
  }
  if (have * 2 > voters.size()) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "of {} members no majority would have what is confirmed: {}", voters.size(), missing));
}

bool Mastership::IsCaughtUp(const MemberName& slave, Instant now) const {
  const auto found = slaves_.find(slave);
  if (found == slaves_.end() || found->second.stream == 0) return false;
  const Slave& state = found->second;
  return state.ack.has_value() && state.ack->epoch == epoch_ &&
         now - state.caught_up_at < LagLimit();
}

bool Mastership::HasAll(const MemberName& slave, const LogState& own) const {
  const auto found = slaves_.find(slave);
  if (found == slaves_.end() || !found->second.ack.has_value()) return false;
  const Ack& ack = *found->second.ack;
  return ack.epoch == epoch_ && OffsetOf(ack) >= own.end;
}

bool Mastership::Connected(const Slave& slave, Instant now) const {
  return slave.stream != 0 || now - slave.broken_since < options_.broken_limit;
}

Accepting Mastership::EnoughMembers(Instant now) const {
  if (options_.mode == Mode::kSync && in_sync_.SureSize() < options_.min_in_sync) {
    return Accepting::kTooFewInSync;
  }
  if (options_.mode == Mode::kQuorum) {
    size_t connected = 1;
    for (const auto& [name, slave] : slaves_) {
      if (options_.members.contains(name) && Connected(slave, now)) ++connected;
    }
    if (connected * 2 <= options_.members.size()) return Accepting::kNoQuorum;
  }
  return Accepting::kYes;
}

Instant Mastership::wake_at(Instant now) const {
  Instant wake = kNever;
  for (const auto& [name, slave] : slaves_) {
    const Instant moment = slave.stream == 0 ? slave.broken_since + options_.broken_limit
                                             : slave.caught_up_at + LagLimit();
    if (moment > now) wake = std::min(wake, moment);
  }
  return wake;
}

}  // namespace dunlin::replicator
