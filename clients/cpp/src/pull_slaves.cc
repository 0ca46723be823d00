// The part of PullCore that reads from slaves what their master would have to get from its disk.
//
// Nothing is lost or doubled by a change of place: what was taken to be polled counts, and the rest
// of what was received is dropped and comes again from the other one. Frames on their way from the
// old place are known by their binding, and dropped.

#include <algorithm>
#include <set>
#include <utility>

#include "clients/cpp/src/pull_core.h"

namespace dunlin::internal {
namespace {

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

// Who came back does not leave again for so long, whatever the reason was: slaves that lag or fail
// would make it go to and fro, and each time what is buffered is read twice.
constexpr std::chrono::seconds kStay{30};

// A slave whose disk or process hangs keeps its calls open and brings nothing. Who reads there has
// not reached its end, or would have left; while its filter lets nothing through a slave says so
// about once a second.
constexpr std::chrono::seconds kSilence{5};
constexpr std::chrono::seconds kLook{1};

const BrokerRoute* FindBroker(const Route& route, std::string_view name) {
  const auto found =
      std::find_if(route.brokers.begin(), route.brokers.end(),
                   [name](const BrokerRoute& broker) { return broker.broker == name; });
  return found == route.brokers.end() ? nullptr : &*found;
}

}  // namespace

bool PullCore::GoToSlave(Assignment& assignment) {
  if (!options_.read_from_slaves || closed_ || !assignment.known || assignment.read_only ||
      steady_clock::now() < assignment.stays_until) {
    return false;
  }
  const auto known = topics_.find(assignment.source->topic);
  if (known == topics_.end()) return false;
  const BrokerRoute* const broker = FindBroker(known->second.route, assignment.source->broker);
  if (broker == nullptr || broker->slaves.empty()) return false;
  // Queues are spread over the slaves. Only one whose call is open gets them: the master goes on
  // serving until then.
  SubscribeStream* slave = nullptr;
  for (size_t i = 0; i < broker->slaves.size(); ++i) {
    const size_t place = (assignment.source->queue + i) % broker->slaves.size();
    SubscribeStream& stream = streams_.AtSlave(broker->broker, broker->slaves[place]);
    if (slave == nullptr && stream.IsOpen()) slave = &stream;
  }
  WatchSlaves(steady_clock::now());
  if (slave == nullptr) return false;
  if (!options_.group.empty()) {
    assignment.commit_binding = ++last_binding_;
    bindings_[assignment.commit_binding] = KeyOf(*assignment.source);
    assignment.master.Attach(
        MakeCommitAttach(assignment.commit_binding, *assignment.source, assignment.filter));
    assignment.master.PassOnCommit(assignment.binding, assignment.commit_binding);
  }
  Unbind(assignment.master, assignment.binding);
  assignment.slave = slave;
  assignment.heard_at = steady_clock::now();
  assignment.received = assignment.taken;
  Bind(assignment);
  WantStreams();
  return true;
}

void PullCore::GoToMaster(Assignment& assignment) {
  LeaveSlave(assignment);
  WantStreams();
}

void PullCore::LeaveSlave(Assignment& assignment) {
  Unbind(*assignment.slave, assignment.binding);
  assignment.slave = nullptr;
  assignment.stays_until = steady_clock::now() + kStay;
  assignment.received = assignment.taken;
  Bind(assignment);
  if (const uint32_t committed = std::exchange(assignment.commit_binding, 0); committed != 0) {
    assignment.master.PassOnCommit(committed, assignment.binding);
    assignment.master.Detach(committed);
    bindings_.erase(committed);
  }
}

bool PullCore::IsServed(const Assignment& assignment, const v1::Attached& attached) {
  if (attached.status().code() != v2::OK) return false;
  // Offsets mean nothing in another topic of its name, neither to read from nor to commit.
  if (!IsSameTopic(*assignment.source, attached)) return false;
  if (attached.binding() == assignment.commit_binding) return true;
  return attached.start_offset() < attached.max_offset();
}

void PullCore::OnBroken(SubscribeStream& stream) {
  MutexLock lock(mutex_);
  if (closed_ || !streams_.IsToSlave(stream)) return;
  for (auto& [key, assignment] : assignments_) {
    if (assignment.slave == &stream) LeaveSlave(assignment);
  }
  WantStreams();
}

void PullCore::WatchSlaves(SteadyTime now) {
  if (std::exchange(watching_, true)) return;
  connection_->ticker()->WakeAt(now + kLook, this);
}

void PullCore::LeaveSilentSlaves(SteadyTime now) {
  // What was received and not polled has the credit: the slave may have none left.
  std::set<const SubscribeStream*> unpolled;
  for (const Buffered& buffered : frames_) unpolled.insert(buffered.stream);
  for (auto& [key, assignment] : assignments_) {
    if (assignment.slave == nullptr) continue;
    if (unpolled.contains(assignment.slave)) assignment.heard_at = now;
    if (now - assignment.heard_at >= kSilence) LeaveSlave(assignment);
  }
}

void PullCore::Tick(SteadyTime now) {
  MutexLock lock(mutex_);
  if (closed_) return;
  watching_ = false;
  LeaveSilentSlaves(now);
  WantStreams();
  if (streams_.EndUnused(WantedStreams(), now)) WatchSlaves(now);
}

bool PullCore::IsSlave(const Assignment& assignment, const BrokerRoute& broker) const {
  for (const SlaveRoute& slave : broker.slaves) {
    if (streams_.FindSlave(broker.broker, slave) == assignment.slave) return true;
  }
  return false;
}

void PullCore::LeaveFormerSlaves(const std::string& topic, const Route& route) {
  for (auto at = assignments_.lower_bound(Key{topic, "", 0});
       at != assignments_.end() && std::get<0>(at->first) == topic; ++at) {
    Assignment& assignment = at->second;
    if (assignment.slave == nullptr) continue;
    const BrokerRoute* const broker = FindBroker(route, assignment.source->broker);
    if (broker != nullptr && IsSlave(assignment, *broker)) continue;
    LeaveSlave(assignment);
    assignment.stays_until = {};  // another one may do
  }
  WantStreams();
}

}  // namespace dunlin::internal
