// What a member wants done, and who does it.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/replicator/driver/member_driver.h"
#include "services/replicator/driver/promise_file.h"

namespace dunlin::replicator {

void MemberDriver::CarryOut(Action action) {
  std::visit([this](auto& wanted) { Do(wanted); }, action);
}

Coordinator::Done MemberDriver::Report(void (Member::*told)(const Coordinator::Result&, Instant)) {
  return [this, told](const Coordinator::Result& result) {
    Put([this, told, result] { ((*member_).*told)(result, Now()); });
  };
}

void MemberDriver::Do(const action::Elect& elect) {
  if (!elect.warning.empty()) log::Error("{}", elect.warning);
  log::Info("{} stands for epoch {}", options_.identity.member, elect.record.epoch.value());
  coordinator_.Elect(elect.version, elect.record, Report(&Member::OnElected));
}
void MemberDriver::Do(const action::Update& update) {
  coordinator_.Update(update.version, update.record, Report(&Member::OnUpdated));
}
void MemberDriver::Do(const action::KeepAlive& /*keep_alive*/) {
  coordinator_.KeepAlive(Report(&Member::OnKeptAlive));
}
void MemberDriver::Do(const action::Retake& retake) {
  coordinator_.Elect(retake.version, retake.record, Report(&Member::OnRetaken));
}
void MemberDriver::Do(const action::Release& release) {
  coordinator_.Release(release.version, release.record, Report(&Member::OnReleased));
}

void MemberDriver::Do(const action::AskPeers& /*ask*/) {
  peers_->AskStates([this](const MemberName& peer, const PeerState& state) {
    Put([this, peer, state] { member_->OnPeerState(peer, state, Now()); });
  });
}

void MemberDriver::Do(const action::AskPromises& ask) {
  peers_->AskPromises(ask.epoch, [this](const MemberName& peer, const PromiseAnswer& answer) {
    Put([this, peer, answer] { member_->OnPromiseAnswer(peer, answer, Now()); });
  });
}

void MemberDriver::Do(const action::AskPledges& ask) {
  const Instant sent = Now();
  peers_->AskPledges(
      ask.epoch, ask.time,
      [this, sent, epoch = ask.epoch](const MemberName& peer, const PledgeAnswer& answer) {
        if (!answer.granted) log::Debug("{}: {}", peer, answer.reason);
        Put([this, sent, epoch, peer, answer] {
          member_->OnPledgeAnswer(peer, epoch, answer, sent, Now());
        });
      });
}

void MemberDriver::Do(const action::PersistPromise& persist) {
  const absl::Status saved = SavePromise(files_, PromisePath(), persist.epoch);
  if (!saved.ok()) return Fail(saved);
  member_->OnPromisePersisted(persist.epoch, Now());
}

void MemberDriver::Do(action::AnswerPromise& answer) {
  const auto asked = promised_.find(answer.ticket);
  if (asked == promised_.end()) return;
  asked->second(answer.answer);
  promised_.erase(asked);
}

void MemberDriver::Do(const action::Follow& follow) {
  if (!log_.open()) {
    to_follow_ = follow.master;
    return;
  }
  const auto address = addresses_.find(follow.master);
  if (address == addresses_.end()) {
    stream_problem_ = fmt::format(
        "the coordinator names {} as master, who is not a member as far as is known here",
        follow.master);
    log::Error("{}", stream_problem_);
    return;
  }
  followed_ = follow.master;
  receiver_->Follow(follow.master, address->second);
}

void MemberDriver::Do(const action::StopFollowing& /*stop*/) {
  to_follow_.clear();
  followed_.clear();
  receiver_->StopFollowing();
}

// Under ASYNC consumers of a slave have seen all of its log.
store::LogMirror::Confirmed MemberDriver::MayGo(bool discards_confirmed) const {
  const bool may_go = discards_confirmed || options_.member.mode == Mode::kAsync;
  return may_go ? store::LogMirror::Confirmed::kMayGo : store::LogMirror::Confirmed::kMustStay;
}

absl::Status MemberDriver::MarkStore() {
  if (mark_.has_value()) return absl::OkStatus();
  const GroupMark mark{.group = options_.identity.group, .seen = Epoch(0)};
  RETURN_IF_ERROR(SaveGroupMark(files_, MarkPath(), mark));
  mark_ = mark;
  return absl::OkStatus();
}

void MemberDriver::Do(const action::Truncate& truncate) {
  if (!log_.open()) return;
  if (truncate.discards_confirmed) {
    log::Error(
        "confirmed records from {} on are cut off: the master of epoch {} does not have them",
        truncate.to.offset.value(), truncate.to.epoch.value());
  }
  const absl::Status cut = log_.TruncateTo(truncate.to, MayGo(truncate.discards_confirmed));
  if (!log_.health().ok()) return Fail(cut);
  if (!cut.ok()) return receiver_->Drop(truncate.stream, cut);
  LookAtLog();
  member_->OnMirrorReady(truncate.stream, Now());
}

void MemberDriver::Do(const action::Reset& reset) {
  if (!log_.open()) return;
  log::Warning("the log has nothing in common with the master's: it begins anew at {}",
               reset.start.value());
  if (reset.discards_confirmed) log::Error("confirmed records are given up with it");
  if (const absl::Status marked = MarkStore(); !marked.ok()) return Fail(marked);
  const absl::Status done = log_.Reset(reset.start, MayGo(reset.discards_confirmed));
  if (!log_.health().ok()) return Fail(done);
  if (!done.ok()) return receiver_->Drop(reset.stream, done);
  LookAtLog();
  member_->OnMirrorReady(reset.stream, Now());
}

void MemberDriver::Do(const action::Repair& repair) {
  if (!log_.open()) return;
  log::Error("the log is damaged from {} on: what stood there is fetched anew from the master",
             repair.to.offset.value());
  GroupMark mark = mark_.value_or(GroupMark{.group = options_.identity.group, .seen = Epoch(0)});
  mark.seen = std::max(mark.seen, repair.seen);
  const absl::Status repaired = [&] {
    RETURN_IF_ERROR(SaveGroupMark(files_, MarkPath(), mark));
    mark_ = mark;
    RETURN_IF_ERROR(RemovePromise(files_, PromisePath()));
    return log_.TruncateTo(repair.to, store::LogMirror::Confirmed::kMayGo);
  }();
  if (!repaired.ok()) return Fail(repaired);
  LookAtLog();
}

void MemberDriver::Do(const action::DropStream& drop) { receiver_->Drop(drop.stream, drop.why); }

void MemberDriver::Do(const action::DropSlaves& drop) { sender_->DropAll(drop.why); }

void MemberDriver::Do(const action::BeginEpoch& begin) {
  if (!log_.open()) {
    to_begin_ = begin.epoch;
    return;
  }
  if (const absl::Status marked = MarkStore(); !marked.ok()) return Fail(marked);
  const absl::Status begun = log_.BeginEpoch(begin.epoch, log_.state().end);
  if (!begun.ok()) return Fail(begun);
  seen_ = log_.state();
  member_->OnEpochBegun(begin.epoch, seen_, Now());
}

}  // namespace dunlin::replicator
