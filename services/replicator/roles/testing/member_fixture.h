// MemberFixture: one Member, the answers it waits for, and the time, in the hands of a test.

#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gtest/gtest.h"

#include "services/base/strong_int.h"
#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/roles/member.h"

namespace dunlin::replicator {

class MemberFixture : public testing::Test {
 protected:
  using Entries = std::vector<EpochHistory::Entry>;

  // Member "a" of {a, b, c}.
  static MemberOptions Options(Mode mode, Flush flush = Flush::kAsync) {
    return {.name = "a", .members = {"a", "b", "c"}, .mode = mode, .flush = flush};
  }

  static LogState Log(Entries history, uint64_t end) {
    return {.start = LogOffset(0),
            .end = LogOffset(end),
            .flushed = LogOffset(end),
            .history = EpochHistory(std::move(history))};
  }

  // With a promise the store is the group's.
  void Make(MemberOptions options, LogState log, std::optional<Epoch> promise = Epoch(0),
            LogOffset confirmed = LogOffset(0)) {
    const bool of_group = promise.has_value();
    Make(std::move(options), {.log = std::move(log),
                              .promise = promise,
                              .confirmed = confirmed,
                              .of_group = of_group,
                              .seen = Epoch(0)});
  }
  void Make(MemberOptions options, const Member::Durable& durable) {
    log_ = durable.log;
    member_ = std::make_unique<Member>(std::move(options), durable);
  }

  Member& member() { return *member_; }
  Instant now() const { return now_; }
  const PageState& page() { return member_->page(); }

  void Pass(Duration time) {
    now_ += time;
    member_->Tick(now_);
  }

  // The record of `epoch` with this in-sync set; nobody has the lease unless `holder` is given.
  GroupView View(uint32_t epoch, const MemberName& master, std::set<MemberName> in_sync,
                 const MemberName& holder = "") {
    GroupView view{.revision = ++revision_, .version = ++version_, .record = {}, .lease = {}};
    view.record = GroupRecord{.epoch = Epoch(epoch),
                              .master = master,
                              .in_sync = std::move(in_sync),
                              .preferred = "",
                              .unclean_epoch = Epoch(0)};
    if (!holder.empty()) view.lease = LeaseHolder{holder, Epoch(epoch)};
    return view;
  }
  void See(const GroupView& view) {
    view_ = view;
    member_->OnView(view, now_);
  }
  GroupView LeaseGone() {
    GroupView view = view_;
    view.revision = ++revision_;
    view.lease.reset();
    return view;
  }

  // The newest action of this kind since the last look; the others stay.
  template <typename Kind>
  std::optional<Kind> Take() {
    for (Action& next : member_->TakeActions()) actions_.push_back(std::move(next));
    for (auto action = actions_.rbegin(); action != actions_.rend(); ++action) {
      if (!std::holds_alternative<Kind>(*action)) continue;
      Kind found = std::get<Kind>(*action);
      std::erase_if(actions_, [](const Action& any) { return std::holds_alternative<Kind>(any); });
      return found;
    }
    return std::nullopt;
  }

  Coordinator::Result Result(absl::Status status) {
    return {.status = std::move(status), .view = {}, .sent = now_, .ttl = kTtl};
  }
  // The coordinator accepts what the action asks for.
  void Accept(const action::Elect& elect) {
    view_ = GroupView{.revision = ++revision_,
                      .version = ++version_,
                      .record = elect.record,
                      .lease = LeaseHolder{elect.record.master, elect.record.epoch}};
    Coordinator::Result result = Result(absl::OkStatus());
    result.view = view_;
    member_->OnElected(result, now_);
  }
  void Accept(const action::Update& update) {
    view_.revision = ++revision_;
    view_.version = ++version_;
    view_.record = update.record;
    Coordinator::Result result = Result(absl::OkStatus());
    result.view = view_;
    member_->OnUpdated(result, now_);
  }

  void Begin(uint32_t epoch) {
    log_.history.Begin(Epoch(epoch), log_.end);
    log_.flushed = log_.end;
    member_->OnEpochBegun(Epoch(epoch), log_, now_);
  }
  void Append(uint64_t bytes, bool flushed = true) {
    log_.end += bytes;
    if (flushed) log_.flushed = log_.end;
    member_->OnLog(log_, now_);
  }

  // Makes "a" the master of the next epoch, with nothing confirmed in it yet.
  void Win() {
    Pass(std::chrono::milliseconds(300));
    auto elect = Take<action::Elect>();
    ASSERT_TRUE(elect.has_value()) << member_->Describe();
    const uint32_t epoch = elect->record.epoch.value();
    Accept(*elect);
    ASSERT_TRUE(Take<action::BeginEpoch>().has_value());
    Begin(epoch);
  }
  // A slave whose log is the same as ours connects and acknowledges all of it.
  void Join(uint64_t stream, const MemberName& name) {
    Connect(stream, name);
    AckAll(stream);
  }
  void Connect(uint64_t stream, const MemberName& name) {
    ASSERT_TRUE(member_
                    ->OnHello(stream,
                              {.member = name,
                               .history = log_.history,
                               .end = log_.end,
                               .highest_epoch = log_.history.last()},
                              now_)
                    .ok());
  }
  void AckAll(uint64_t stream) { AckTo(stream, log_.end.value(), log_.end.value()); }
  void AckTo(uint64_t stream, uint64_t received, uint64_t flushed) {
    member_->OnAck(stream,
                   {.epoch = log_.history.last(),
                    .received = LogOffset(received),
                    .flushed = LogOffset(flushed)},
                   now_);
  }

  // It has all, and is about to stop.
  void AckLeaving(uint64_t stream) {
    member_->OnAck(
        stream,
        {.epoch = log_.history.last(), .received = log_.end, .flushed = log_.end, .leaving = true},
        now_);
  }

  static constexpr Duration kTtl = std::chrono::seconds(8);

  LogState log_;
  GroupView view_;

 private:
  std::unique_ptr<Member> member_;
  std::vector<Action> actions_;
  Instant now_ = Instant() + std::chrono::hours(1);
  int64_t revision_ = 0;
  int64_t version_ = 0;
};

}  // namespace dunlin::replicator
