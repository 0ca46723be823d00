#include "services/replicator/simulation/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "services/replicator/simulation/checker.h"
#include "services/replicator/simulation/sim_coordinator.h"
#include "services/replicator/simulation/world.h"

namespace dunlin::replicator::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTtl = seconds(3);
// Well inside of the eighth that a lease allows for.
constexpr double kDriftMax = 0.04;

class Group {
 public:
  explicit Group(const SimulationOptions& options)
      : options_(options),
        world_(options.seed),
        coordinator_(world_, kTtl),
        checker_(world_, options.mode != Mode::kAsync) {
    const std::set<MemberName> first = {"a", "b", "c"};
    std::set<MemberName> all = first;
    if (options_.members_change) all.insert({"d", "e"});
    int place = 0;
    for (const MemberName& name : all) MakeNode(name, place++, first);
    for (auto& node : nodes_) {
      std::vector<SimNode*> peers;
      for (auto& other : nodes_) {
        if (other != node) peers.push_back(other.get());
      }
      node->SetPeers(std::move(peers));
    }
  }

  SimulationResult Run() {
    for (auto& node : nodes_) {
      world_.After(world_.random().Between(Duration(0), Duration(seconds(1))),
                   [&node] { node->Start(); });
    }
    ClientsSend();
    world_.After(seconds(2), [this] { Break(); });
    if (options_.members_change) world_.After(seconds(1), [this] { ChangeMembers(); });
    world_.RunUntil(world_.now() + seconds(2) + options_.faults);
    Mend();
    const Instant end = world_.now() + options_.recovery;
    while (!world_.failed() && world_.now() < end && !IsWell()) {
      world_.RunUntil(world_.now() + milliseconds(250));
    }
    if (!world_.failed()) CheckEnd();
    return {.violation = world_.violation(),
            .trace_hash = world_.trace_hash(),
            .trace = world_.trace(),
            .acknowledged = checker_.acknowledged(),
            .elections = coordinator_.view().record.has_value()
                             ? coordinator_.view().record->epoch.value()
                             : 0,
            .begun_anew = Sum(&SimNode::begun_anew),
            .by_pledges = Sum(&SimNode::by_pledges),
            .members = RosterNow().last_id};
  }

 private:
  void MakeNode(const MemberName& name, int place, const std::set<MemberName>& names) {
    SimNode::Config config{.place = place, .options = {}, .coordinator_faults = {}};
    config.options.name = name;
    if (names.contains(name)) config.options.members = names;
    if (options_.members_change && names.contains(name)) {
      for (const MemberName& other : names) {
        config.options.roster.Add(other, "at " + other, Seat::kVoter);
      }
    }
    config.options.mode = options_.mode;
    config.options.flush = options_.flush;
    config.bug = options_.bug;
    config.coordinator_faults.in_sync_has_everyone = options_.bug == Bug::kElectOutsideInSync;
    config.coordinator_faults.update_without_asking = options_.bug == Bug::kShrinkWithoutCas;
    config.clock_rate =
        1 + kDriftMax * static_cast<double>(world_.random().Between(-1000, 1000)) / 1000;
    config.clock_offset = world_.random().Between(Duration(0), Duration(seconds(100000)));
    nodes_.push_back(std::make_unique<SimNode>(world_, coordinator_, checker_, std::move(config)));
  }

  SimNode& AnyNode() {
    return *nodes_[static_cast<size_t>(world_.random().Between(0, int64_t(nodes_.size()) - 1))];
  }

  void ClientsSend() {
    AnyNode().Send(++next_id_);
    world_.After(world_.random().Between(milliseconds(1), milliseconds(15)),
                 [this] { ClientsSend(); });
  }

  // ---- faults ----

  // The next thing breaks, for a while; several may be broken at a time.
  void Break() {
    if (mended_) return;
    const Duration how_long = world_.random().Between(milliseconds(50), milliseconds(5000));
    SimNode& node = AnyNode();
    const int place = PlaceOf(node);
    switch (world_.random().Between(0, 16)) {
      case 0:
      case 1:
        node.Crash();
        StartLater(node, how_long);
        break;
      case 2:
        LeaveAndEnd(node, how_long);
        break;
      case 3:
        CutPower(node);
        break;
      case 4:
        Pause(node, how_long);
        break;
      case 5:
        Cut(place, SimCoordinator::kPlace, how_long);
        break;
      case 6:
      case 7:
        Cut(place, PlaceOf(AnyNode()), how_long);
        break;
      case 8:
        for (int other = 0; other < int(nodes_.size()); ++other) Cut(place, other, how_long);
        if (world_.random().Chance(0.5)) Cut(place, SimCoordinator::kPlace, how_long);
        break;
      case 9:
        world_.SetLoss(world_.random().Chance(0.5) ? 0.02 : 0);
        break;
      case 10:
        for (auto& any : nodes_) any->SwitchOver(node.name());
        break;
      case 11:
        if (MayWipe(node)) {
          node.Wipe();
          StartLater(node, how_long);
        }
        break;
      case 12:
        if (MayWipe(node)) {
          node.Damage();
          StartLater(node, how_long);
        }
        break;
      case 13:
        // For the master alone, long enough for its lease to run out.
        if (coordinator_.view().lease.has_value()) {
          Cut(PlaceOf(*coordinator_.view().lease), SimCoordinator::kPlace, kTtl + how_long);
        }
        break;
      case 14:
      case 15:
        for (int any = 0; any < int(nodes_.size()); ++any) {
          Cut(any, SimCoordinator::kPlace, kTtl + how_long);
        }
        break;
      case 16:
        LoseMasterSlowly();
        break;
    }
    world_.After(world_.random().Between(milliseconds(10), milliseconds(2500)),
                 [this] { Break(); });
  }

  // An operator adds, removes, has second thoughts; nobody knows who is the master, so all are
  // asked.
  void ChangeMembers() {
    if (mended_) return;
    world_.After(world_.random().Between(milliseconds(50), milliseconds(1500)),
                 [this] { ChangeMembers(); });
    const SimNode& subject = AnyNode();
    const Roster roster = RosterNow();
    const bool blindly = ChangesBlindly();
    RosterChange change{.kind = RosterChange::Kind::kAdd, .member = subject.name()};
    change.address = "at " + change.member;
    const auto entry = roster.entries.find(change.member);
    if (entry == roster.entries.end()) {
      change.learner = blindly || world_.random().Chance(0.2);
    } else if (blindly) {
      for (auto& node : nodes_) node->ChangeRosterBlindly();
      return;
    } else if (entry->second.seat != Seat::kLearner || world_.random().Chance(0.5)) {
      change.kind = RosterChange::Kind::kRemove;
      // Under QUORUM an operator may lose what only the majority had that is gone.
      change.force = options_.mode != Mode::kQuorum && world_.random().Chance(0.3);
    }
    for (auto& node : nodes_) node->ChangeRoster(change);
  }

  bool ChangesBlindly() const {
    return options_.bug == Bug::kChangeTwoAtOnce || options_.bug == Bug::kChangeUncommitted;
  }

  // By the record; that which the group begins with before there is one.
  Roster RosterNow() const {
    const GroupView& view = coordinator_.view();
    return view.record.has_value() ? view.record->roster : Roster();
  }

  bool IsMember(const SimNode& node) const {
    return !options_.members_change || RosterNow().contains(node.name());
  }

  void LeaveAndEnd(SimNode& node, Duration how_long) {
    node.Leave();
    world_.After(world_.random().Between(Duration(0), Duration(milliseconds(500))),
                 [this, &node, how_long] {
                   node.CrashReplicator();
                   StartLater(node, how_long);
                 });
  }

  void StartLater(SimNode& node, Duration delay) {
    world_.After(delay, [&node] { node.Start(); });
  }

  // Of one machine, or of all at once. ASYNC_FLUSH promises nothing about it.
  void CutPower(SimNode& node) {
    if (options_.flush != Flush::kSync) return;
    const bool all = world_.random().Chance(0.3);
    for (auto& any : nodes_) {
      if (!all && any.get() != &node) continue;
      any->CutPower();
      StartLater(*any, world_.random().Between(milliseconds(50), milliseconds(5000)));
    }
  }

  void Pause(SimNode& node, Duration how_long) {
    if (!node.running() || node.paused()) return;
    world_.Trace(fmt::format("{}: stands still", node.name()));
    node.Pause();
    world_.After(how_long, [&node, this] {
      if (!node.paused()) return;
      world_.Trace(fmt::format("{}: goes on", node.name()));
      node.Resume();
    });
  }

  // It is cut off from the coordinator, hears its peers late, and at last they hear nothing of it.
  void LoseMasterSlowly() {
    if (!coordinator_.view().lease.has_value()) return;
    const int master = PlaceOf(*coordinator_.view().lease);
    const Duration late = world_.random().Between(milliseconds(500), milliseconds(4000));
    const Duration silent = world_.random().Between(milliseconds(500), milliseconds(4000));
    world_.Trace(fmt::format("network: {} hears late, and is not heard any more soon", master));
    Cut(master, SimCoordinator::kPlace, 3 * kTtl);
    for (int other = 0; other < int(nodes_.size()); ++other) {
      if (other == master) continue;
      world_.Slow(other, master, late);
      world_.After(silent, [this, master, other] { world_.Block(master, other); });
      world_.After(3 * kTtl, [this, master, other] {
        world_.Slow(other, master, Duration(0));
        world_.Unblock(master, other);
      });
    }
  }

  // One way or both.
  void Cut(int from, int to, Duration how_long) {
    if (from == to) return;
    const bool there = world_.random().Chance(0.7);
    const bool back = !there || world_.random().Chance(0.7);
    world_.Trace(fmt::format("network: {}{}{}", from,
                             there && back ? " x "
                             : there       ? " > "
                                           : " < ",
                             to));
    if (there) world_.Block(from, to);
    if (back) world_.Block(to, from);
    world_.After(how_long, [this, from, to] {
      world_.Unblock(from, to);
      world_.Unblock(to, from);
    });
  }

  // One disk at a time, and only where another has what was acknowledged: a member that is not
  // known as master (its set might be itself alone) of a group whose stores are all established.
  bool MayWipe(const SimNode& node) const {
    if (options_.mode == Mode::kAsync) return false;
    const GroupView& view = coordinator_.view();
    if (!view.lease.has_value() || view.lease->name == node.name()) return false;
    // A majority has to be left that forgets nothing.
    if (options_.mode == Mode::kQuorum && options_.members_change &&
        RosterNow().Voters().size() < 3) {
      return false;
    }
    return std::all_of(nodes_.begin(), nodes_.end(),
                       [this](const auto& any) { return !IsMember(*any) || any->established(); });
  }

  void Mend() {
    world_.Trace("the faults are over");
    mended_ = true;
    world_.HealAll();
    world_.SetLoss(0);
    for (auto& node : nodes_) {
      if (node->paused()) node->Resume();
      node->Start();
    }
    acknowledged_when_mended_ = checker_.acknowledged();
  }

  // ---- the end ----

  const SimNode* Master() const {
    for (const auto& node : nodes_) {
      if (node->is_serving()) return node.get();
    }
    return nullptr;
  }

  // A master that takes and acknowledges records, and nobody far behind it.
  bool IsWell() const {
    const SimNode* master = Master();
    if (master == nullptr || checker_.acknowledged() < acknowledged_when_mended_ + 20) return false;
    const Roster roster = RosterNow();
    const bool nobody_joins =
        std::none_of(roster.entries.begin(), roster.entries.end(),
                     [](const auto& entry) { return entry.second.seat == Seat::kJoining; });
    return nobody_joins && std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& node) {
             return !IsMember(*node) || node->log().size() + 20 >= master->log().size();
           });
  }

  // A disk that is lost while a removal is on its way may leave too few of the voters that remain:
  // nobody is elected then until an operator accepts the loss, which nobody does here. (Whoever
  // makes voters of members that have nothing has no such excuse.)
  bool MayBeElected() const {
    if (options_.mode != Mode::kQuorum || !options_.members_change || ChangesBlindly()) return true;
    const std::set<MemberName> voters = RosterNow().Voters();
    const auto whole = std::count_if(nodes_.begin(), nodes_.end(), [&](const auto& node) {
      return voters.contains(node->name()) && node->established();
    });
    return static_cast<size_t>(whole) * 2 > voters.size();
  }

  void CheckEnd() {
    if (!IsWell() && MayBeElected()) {
      std::string states;
      for (const auto& node : nodes_) states += "\n  " + node->Describe();
      return world_.Fail("the group does not work again after the faults are over:" + states);
    }
    if (const SimNode* const master = Master(); master != nullptr) checker_.OnEnd(master->log());
  }

  uint64_t Sum(uint64_t (SimNode::*count)() const) const {
    uint64_t sum = 0;
    for (const auto& node : nodes_) sum += ((*node).*count)();
    return sum;
  }

  int PlaceOf(const LeaseHolder& holder) const {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i]->name() == holder.name) return static_cast<int>(i);
    }
    return -1;
  }

  int PlaceOf(const SimNode& node) const {
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].get() == &node) return static_cast<int>(i);
    }
    return -1;
  }

  const SimulationOptions options_;
  World world_;
  SimCoordinator coordinator_;
  Checker checker_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  uint64_t next_id_ = 0;
  bool mended_ = false;
  uint64_t acknowledged_when_mended_ = 0;
};

}  // namespace

SimulationResult Simulate(const SimulationOptions& options) { return Group(options).Run(); }

SimulationOptions OptionsOf(uint64_t seed) {
  constexpr Mode kModes[] = {Mode::kSync, Mode::kQuorum, Mode::kSync, Mode::kQuorum, Mode::kAsync};
  return {.seed = seed,
          .mode = kModes[seed % 5],
          .flush = seed / 5 % 2 == 0 ? Flush::kSync : Flush::kAsync,
          .members_change = seed / 10 % 2 == 1};
}

std::string ToString(const SimulationOptions& options) {
  constexpr const char* kModes[] = {"ASYNC", "SYNC", "QUORUM"};
  return fmt::format("seed {}, {}, {}{}", options.seed, kModes[static_cast<int>(options.mode)],
                     options.flush == Flush::kSync ? "SYNC_FLUSH" : "ASYNC_FLUSH",
                     options.members_change ? ", members change" : "");
}

}  // namespace dunlin::replicator::simulation
