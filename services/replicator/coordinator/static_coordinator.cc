#include "services/replicator/coordinator/static_coordinator.h"

#include <fmt/format.h>

#include <utility>

#include "services/base/check.h"

namespace dunlin::replicator {

StaticCoordinator::StaticCoordinator(MemberName member, MemberName master, InstantSource now)
    : member_(std::move(member)),
      master_(std::move(master)),
      now_(std::move(now)),
      executor_("coordinator", 64) {
  view_.revision = 1;
  if (member_ == master_) return;
  // Which epoch it is only the master knows; it says so when the stream begins.
  view_.version = 1;
  view_.record = GroupRecord{.epoch = Epoch(0),
                             .master = master_,
                             .in_sync = {master_},
                             .preferred = "",
                             .unclean_epoch = Epoch(0)};
  view_.lease = LeaseHolder{master_, Epoch(0)};
}

StaticCoordinator::~StaticCoordinator() { Stop(); }

void StaticCoordinator::Stop() { executor_.Stop(); }

// A member has a handful of calls under way at most; after Stop they are dropped, as promised.
void StaticCoordinator::Post(Executor::Task task) {
  const absl::Status status = executor_.Run(std::move(task));
  CHECK(status.ok() || absl::IsUnavailable(status));
}

void StaticCoordinator::Finish(absl::Status status, Done done) {
  done({.status = std::move(status), .view = view_, .sent = now_(), .ttl = Duration::max()});
}

void StaticCoordinator::Start(Watcher watcher) {
  Post([this, watcher = std::move(watcher)]() mutable {
    watcher_ = std::move(watcher);
    watcher_(view_);
  });
}

void StaticCoordinator::Change(int64_t version, bool held, const GroupRecord& record,
                               std::optional<LeaseHolder> lease, Done done) {
  Post([this, version, held, record, lease = std::move(lease), done = std::move(done)]() mutable {
    if (member_ != master_) {
      return Finish(absl::AbortedError(fmt::format(
                        "the configuration says that {} is the master, not {}", master_, member_)),
                    std::move(done));
    }
    if (version != view_.version || held != view_.lease.has_value()) {
      return Finish(absl::AbortedError("the record or the lease is not what it was"),
                    std::move(done));
    }
    view_.version = ++view_.revision;
    view_.record = record;
    view_.lease = std::move(lease);
    Finish(absl::OkStatus(), std::move(done));
    if (watcher_ != nullptr) watcher_(view_);
  });
}

void StaticCoordinator::Elect(int64_t version, const GroupRecord& record, Done done) {
  Change(version, false, record, LeaseHolder{member_, record.epoch}, std::move(done));
}

void StaticCoordinator::Update(int64_t version, const GroupRecord& record, Done done) {
  Change(version, true, record, LeaseHolder{member_, record.epoch}, std::move(done));
}

void StaticCoordinator::Release(int64_t version, const GroupRecord& record, Done done) {
  Change(version, true, record, std::nullopt, std::move(done));
}

void StaticCoordinator::KeepAlive(Done done) {
  Post([this, done = std::move(done)]() mutable {
    const bool held = member_ == master_ && view_.lease.has_value();
    Finish(held ? absl::OkStatus() : absl::AbortedError("there is no lease to renew"),
           std::move(done));
  });
}

}  // namespace dunlin::replicator
