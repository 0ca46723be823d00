// The part of PullCore that commits offsets: at masters alone, and only when the master's answer to
// the binding shows that its queue is the one that was read.

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "clients/cpp/src/pull_core.h"

namespace dunlin::internal {

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

bool PullCore::Passes(v2::Code code) {
  return IsTransient(code) && code != v2::PRECONDITION_FAILED;
}

bool PullCore::IsSameTopic(const FrameSource& source, const v1::Attached& attached) {
  return source.topic_id == 0 || attached.topic_id() == 0 || attached.topic_id() == source.topic_id;
}

v1::Attach PullCore::MakeCommitAttach(uint32_t binding, const FrameSource& source,
                                      const Filter& filter) const {
  v1::Attach attach;
  attach.set_binding(binding);
  connection_->Fill(source.topic, *attach.mutable_topic());
  FillFilter(filter, *attach.mutable_filter());
  attach.mutable_offset()->set_queue(source.queue);
  attach.mutable_offset()->set_start(v1::OffsetMode::COMMIT_ONLY);
  return attach;
}

absl::Status PullCore::Commit(const Name& name, uint64_t offset) {
  if (options_.group.empty()) {
    return absl::FailedPreconditionError("a consumer without a group commits no offsets");
  }
  MutexLock lock(mutex_);
  const absl::StatusOr<Assignments::iterator> found = FindNamed(name);
  if (!found.ok()) return found.status();
  const Assignment& assignment = (*found)->second;
  // The broker would take the end of the queue for it, and nobody would notice the mistake.
  const uint64_t end = std::max(assignment.end, assignment.received);
  if (offset > end) {
    return absl::InvalidArgumentError(fmt::format(
        "offset {} is behind the end of queue {} of {}: {}", offset, name.queue, name.topic, end));
  }
  ForgetOwed(*assignment.source);
  const bool at_slave = assignment.slave != nullptr;
  assignment.master.Commit(at_slave ? assignment.commit_binding : assignment.binding, offset);
  return absl::OkStatus();
}

absl::Status PullCore::Unassign(const Name& name) {
  MutexLock lock(mutex_);
  const absl::StatusOr<Assignments::iterator> found = FindNamed(name);
  if (!found.ok()) return found.status();
  Assignment& assignment = (*found)->second;
  const bool at_slave = assignment.slave != nullptr;
  const std::optional<uint64_t> held =
      assignment.master.TakeHeldCommit(at_slave ? assignment.commit_binding : assignment.binding);
  if (held.has_value() && !closed_) Owe(assignment, *held);
  Remove(assignment);
  return absl::OkStatus();
}

void PullCore::Owe(const Assignment& assignment, uint64_t offset) {
  ++topics_.at(assignment.source->topic).users;  // it may move meanwhile
  const uint32_t binding = ++last_binding_;
  owed_.emplace(binding, OwedCommit{assignment.master, assignment.filter, assignment.source});
  assignment.master.Commit(binding, offset);
  assignment.master.Start();
  assignment.master.Attach(MakeCommitAttach(binding, *assignment.source, assignment.filter));
}

void PullCore::OnOwedAttached(const v1::Attached& attached) {
  const OwedCommit& owed = owed_.at(attached.binding());
  const v2::Code code = attached.status().code();
  if (Passes(code)) return owed.master.RestartLater();
  if (code == v2::OK && IsSameTopic(*owed.source, attached)) {
    owed.master.AllowCommits(attached.binding());
  }
  EndOwed(attached.binding());
}

void PullCore::EndOwed(uint32_t binding) {
  const auto owed = owed_.find(binding);
  owed->second.master.Detach(binding);  // behind what it commits
  const std::string topic = owed->second.source->topic;
  owed_.erase(owed);
  EndUse(topic);
  WantStreams();
  changed_.SignalAll();
}

void PullCore::ForgetOwed(const FrameSource& source) {
  const auto owed = std::find_if(owed_.begin(), owed_.end(), [&source](const auto& entry) {
    return KeyOf(*entry.second.source) == KeyOf(source);
  });
  if (owed != owed_.end()) EndOwed(owed->first);
}

}  // namespace dunlin::internal
