// The replicator of a simulated node: inputs in, actions out. Streams are in sim_streams.cc, broker
// and disk in sim_broker.cc.
#include "services/replicator/simulation/sim_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

namespace dunlin::replicator::simulation {

using std::chrono::microseconds;
using std::chrono::milliseconds;

SimNode::SimNode(World& world, SimCoordinator& coordinator, Checker& checker, Config config)
    : world_(world), sim_coordinator_(coordinator), checker_(checker), config_(std::move(config)) {}

Instant SimNode::LocalNow() const {
  const double passed = static_cast<double>(world_.now().time_since_epoch().count());
  return Instant(Duration(static_cast<int64_t>(passed * config_.clock_rate))) +
         config_.clock_offset;
}

LogState SimNode::State() const {
  return {.start = LogOffset(disk_.start * kRecordBytes),
          .end = LogOffset(end() * kRecordBytes),
          .flushed = LogOffset(disk_.flushed * kRecordBytes),
          .history = History(),
          .damaged = disk_.damaged.has_value()
                         ? std::optional(LogOffset(*disk_.damaged * kRecordBytes))
                         : std::nullopt};
}

void SimNode::Start() {
  if (member_ != nullptr) return;
  world_.Trace(
      fmt::format("{}: starts with {} records, epochs {}", name(), end(), History().ToString()));
  ++life_;
  const LogOffset confirmed = page_.replicated == LogOffset(UINT64_MAX)
                                  ? LogOffset(0)
                                  : std::max(page_.replicated, LogOffset(shown_ * kRecordBytes));
  PageState fresh = page_;
  fresh.role = Role::kNone;
  fresh.lease_until = Instant();
  fresh.accepting = Accepting::kNotMaster;
  const Instant started = config_.bug == Bug::kRestartForgetsPledge ? Instant() : LocalNow();
  member_ = std::make_unique<Member>(config_.options, Member::Durable{.log = State(),
                                                                      .promise = disk_.promise,
                                                                      .confirmed = confirmed,
                                                                      .of_group = disk_.of_group,
                                                                      .seen = disk_.seen,
                                                                      .started = started});
  if (!broker_running_) {
    broker_running_ = true;
    ++broker_life_;
    read_ = 0;
  }
  WritePage(fresh);
  coordinator_ = sim_coordinator_.Connect({.place = config_.place,
                                           .member = name(),
                                           .clock = [this] { return LocalNow(); },
                                           .deliver =
                                               [this, life = life_](std::function<void()> input) {
                                                 if (life == life_) Deliver(std::move(input));
                                               },
                                           .faults = config_.coordinator_faults});
  coordinator_->Start([this](const GroupView& view) { member_->OnView(view, LocalNow()); });
  Heartbeat();
  FlushLater();
  Deliver([this] { member_->Tick(LocalNow()); });
}

void SimNode::CrashReplicator() {
  if (member_ == nullptr) return;
  world_.Trace(name() + ": its replicator ends");
  ++life_;
  for (auto& [number, shipping] : shipping_) Break(shipping.stream);
  if (followed_ != nullptr) Break(followed_);
  shipping_.clear();
  followed_.reset();
  following_.clear();
  asked_.clear();
  when_broker_stopped_ = nullptr;
  coordinator_.reset();
  member_.reset();
  held_.clear();
  if (config_.bug == Bug::kForgetEpochs && disk_.epochs.entries().size() > 1) {
    // Where its last epoch began was in memory alone.
    const store::Epochs::Entry before = disk_.epochs.entries().end()[-2];
    disk_.epochs.TruncateTo({before.epoch, LogOffset(UINT64_MAX)});
  }
}

void SimNode::Crash() {
  if (member_ == nullptr && !broker_running_) return;
  world_.Trace(name() + ": crashes");
  CrashReplicator();
  broker_running_ = false;
  ++broker_life_;
  broker_epoch_ = Epoch(0);
  waiters_.clear();
  paused_ = false;
}

void SimNode::CutPower() {
  Crash();
  ++flush_life_;
  flushing_ = false;
  // A part of what was not flushed may be on the disk all the same.
  const uint64_t kept = static_cast<uint64_t>(
      world_.random().Between(static_cast<int64_t>(disk_.flushed), static_cast<int64_t>(end())));
  world_.Trace(fmt::format("{}: loses power, and {} of {} records", name(), end() - kept, end()));
  disk_.log.resize(kept);
  disk_.flushed = kept;
  disk_.epochs.CutAt(LogOffset(kept * kRecordBytes));
  if (disk_.damaged.has_value() && *disk_.damaged >= kept) disk_.damaged.reset();
  page_ = PageState();
  shown_ = 0;
}

void SimNode::Wipe() {
  Crash();
  world_.Trace(name() + ": its disk is lost");
  ++flush_life_;
  flushing_ = false;
  disk_ = Disk();
  page_ = PageState();
  shown_ = 0;
}

void SimNode::Damage() {
  Crash();
  if (end() == disk_.start) return;
  disk_.damaged =
      world_.random().Between(static_cast<int64_t>(disk_.start), static_cast<int64_t>(end()) - 1);
  world_.Trace(
      fmt::format("{}: its log is damaged at record {} of {}", name(), *disk_.damaged, end()));
}

void SimNode::Resume() {
  paused_ = false;
  std::vector<std::function<void()>> held = std::exchange(held_, {});
  for (const auto& input : held) RunNow(input);
  BrokerFollows();
  Flush();
}

void SimNode::Deliver(std::function<void()> input) {
  if (member_ == nullptr) return;
  if (paused_) {
    held_.push_back(std::move(input));
    return;
  }
  RunNow(input);
}

void SimNode::RunNow(const std::function<void()>& input) {
  if (member_ == nullptr) return;
  input();
  Pump();
}

// Actions may bring inputs at once: the outermost call carries all of them out.
void SimNode::Pump() {
  if (member_ == nullptr || pumping_) return;
  pumping_ = true;
  for (;;) {
    if (!(page_ == member_->page())) WritePage(member_->page());
    const std::vector<Action> actions = member_->TakeActions();
    if (actions.empty()) break;
    for (const Action& action : actions) {
      std::visit([this](const auto& what) { Do(what); }, action);
    }
  }
  pumping_ = false;
  ScheduleTick();
}

void SimNode::ScheduleTick() {
  const Instant wake = member_->wake_at();
  const uint64_t tick = ++tick_;
  if (wake == kNever) return;
  const double wait = static_cast<double>((wake - LocalNow()).count()) / config_.clock_rate;
  const Duration delay =
      std::max(Duration(microseconds(1)), Duration(static_cast<int64_t>(wait)) + Duration(1000));
  world_.After(delay, [this, tick, life = life_] {
    if (tick != tick_ || life != life_) return;
    Deliver([this] { member_->Tick(LocalNow()); });
  });
}

void SimNode::SwitchOver(const MemberName& target) {
  Deliver([this, target] {
    const absl::Status status = member_->SwitchOver(target, LocalNow());
    if (status.ok()) world_.Trace(fmt::format("{}: is to hand over to {}", name(), target));
  });
}

void SimNode::Leave() {
  Deliver([this] {
    world_.Trace(name() + ": is about to stop");
    member_->Leave();
    SendAck(0);
  });
}

void SimNode::ChangeRoster(const RosterChange& change) {
  Deliver([this, change] {
    // By force an operator may take away what the group needs to go on.
    if (change.force && member_->options().members.size() <= member_->options().min_in_sync) return;
    const absl::Status status = member_->ChangeRoster(change, LocalNow());
    if (status.ok()) world_.Trace(fmt::format("{}: is to {}", name(), change.ToString()));
  });
}

void SimNode::ChangeRosterBlindly() {
  Deliver([this] {
    if (member_->mastership() == nullptr || !member_->view()->record.has_value()) return;
    GroupRecord record = *member_->view()->record;
    const int changes = config_.bug == Bug::kChangeTwoAtOnce ? 2 : 1;
    const bool promotes = changes > 1 || world_.random().Chance(0.5);
    const bool demotes = changes > 1 || !promotes;
    int promoted = 0;
    int demoted = 0;
    for (auto& [member, entry] : record.roster.entries) {
      if (entry.seat != Seat::kVoter && promotes && promoted < changes) {
        entry.seat = Seat::kVoter;
        ++promoted;
      } else if (entry.seat == Seat::kVoter && demotes && demoted < changes && member != name()) {
        entry.seat = Seat::kLearner;
        ++demoted;
      }
    }
    record.in_sync = record.roster.Voters();
    coordinator_->Update(member_->view()->version, record, [](const Coordinator::Result&) {});
  });
}

std::string SimNode::Describe() const {
  return fmt::format("{}: {} records ({} flushed), epochs {}, {}", name(), end(), disk_.flushed,
                     History().ToString(),
                     member_ != nullptr ? member_->Describe() : "does not run");
}

// ---- the coordinator ----

void SimNode::Do(const action::Elect& action) {
  coordinator_->Elect(action.version, action.record, [this](Coordinator::Result result) {
    member_->OnElected(result, LocalNow());
  });
}

void SimNode::Do(const action::Update& action) {
  coordinator_->Update(action.version, action.record, [this](Coordinator::Result result) {
    member_->OnUpdated(result, LocalNow());
  });
}

void SimNode::Do(const action::KeepAlive&) {
  coordinator_->KeepAlive(
      [this](Coordinator::Result result) { member_->OnKeptAlive(result, LocalNow()); });
}

void SimNode::Do(const action::Retake& action) {
  coordinator_->Elect(action.version, action.record, [this](Coordinator::Result result) {
    member_->OnRetaken(result, LocalNow());
  });
}

void SimNode::Do(const action::Release& action) {
  coordinator_->Release(action.version, action.record, [this](Coordinator::Result result) {
    member_->OnReleased(result, LocalNow());
  });
}

// ---- peers ----

void SimNode::Do(const action::AskPeers&) {
  for (SimNode* peer : peers_) {
    world_.Send(config_.place, peer->config_.place, [this, peer, life = life_] {
      peer->Deliver([this, peer, life] {
        const PeerState state = peer->member_->peer_state();
        world_.Send(peer->config_.place, config_.place, [this, peer, state, life] {
          if (life != life_) return;
          Deliver([this, peer, state] { member_->OnPeerState(peer->name(), state, LocalNow()); });
        });
      });
    });
  }
}

void SimNode::Do(const action::AskPromises& action) {
  for (SimNode* peer : peers_) {
    const auto answered = [this, peer, life = life_](const PromiseAnswer& answer) {
      world_.Send(peer->config_.place, config_.place, [this, peer, answer, life] {
        if (life != life_) return;
        Deliver(
            [this, peer, answer] { member_->OnPromiseAnswer(peer->name(), answer, LocalNow()); });
      });
    };
    world_.Send(config_.place, peer->config_.place, [this, peer, answered, epoch = action.epoch] {
      peer->Deliver([this, peer, answered, epoch] {
        const uint64_t ticket = ++peer->next_ticket_;
        peer->asked_[ticket] = answered;
        peer->member_->OnPromiseAsked(ticket, name(), epoch, peer->LocalNow());
      });
    });
  }
}

void SimNode::Do(const action::AskPledges& action) {
  const Instant sent = LocalNow();
  for (SimNode* peer : peers_) {
    const auto answered = [this, peer, sent, epoch = action.epoch,
                           life = life_](const PledgeAnswer& answer) {
      world_.Send(peer->config_.place, config_.place, [this, peer, sent, epoch, answer, life] {
        if (life != life_) return;
        Deliver(
            [this, peer, sent, epoch, answer] { TellPledge(peer->name(), epoch, answer, sent); });
      });
    };
    const PledgeRequest request{.master = name(), .epoch = action.epoch, .time = action.time};
    world_.Send(config_.place, peer->config_.place, [peer, answered, request] {
      peer->Deliver([peer, answered, request] {
        answered(peer->member_->OnPledgeAsked(request, peer->LocalNow()));
      });
    });
  }
}

void SimNode::TellPledge(const MemberName& peer, Epoch epoch, const PledgeAnswer& answer,
                         Instant sent) {
  const Instant now = LocalNow();
  if (config_.bug == Bug::kPledgeFromAnswer) sent = now;
  member_->OnPledgeAnswer(peer, epoch, answer, sent, now);
  if (config_.bug != Bug::kOnePledgeIsEnough || !answer.granted) return;
  for (const SimNode* other : peers_) {
    member_->OnPledgeAnswer(other->name(), epoch, answer, sent, now);
  }
}

void SimNode::Do(const action::PersistPromise& action) {
  world_.After(world_.random().Between(milliseconds(1), milliseconds(10)),
               [this, epoch = action.epoch, life = life_] {
                 if (life != life_) return;
                 Deliver([this, epoch] {
                   disk_.promise = std::max(disk_.promise.value_or(Epoch(0)), epoch);
                   member_->OnPromisePersisted(epoch, LocalNow());
                 });
               });
}

void SimNode::Do(const action::AnswerPromise& action) {
  const auto asked = asked_.extract(action.ticket);
  if (asked.empty()) return;
  PromiseAnswer answer = action.answer;
  if (config_.bug == Bug::kLieInPromise) answer.position = {};
  asked.mapped()(answer);
}

void SimNode::Do(const action::BeginEpoch& action) {
  const auto begin = [this, epoch = action.epoch] {
    disk_.of_group = true;
    disk_.flushed = end();
    if (epoch > disk_.epochs.last()) disk_.epochs.Begin(epoch, LogOffset(end() * kRecordBytes));
    world_.Trace(fmt::format("{}: begins epoch {} at record {}", name(), epoch.value(), end()));
    member_->OnEpochBegun(epoch, State(), LocalNow());
  };
  // The broker writes the log as long as it has not seen that it is no master any more.
  if (BrokerWrites()) {
    when_broker_stopped_ = begin;
  } else {
    begin();
  }
}

}  // namespace dunlin::replicator::simulation
