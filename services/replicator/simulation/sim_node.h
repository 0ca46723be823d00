// SimNode: one member in a World: a real Member, driven as the replicator drives it, with a
// simulated log, disk, broker and streams.
//
// What survives a crash of its processes: the log with its epochs, the promise, the mark of the
// group, the control page.
// What a loss of power takes besides: what was not flushed, and the page.

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/driver/stored_history.h"
#include "services/replicator/roles/member.h"
#include "services/replicator/simulation/checker.h"
#include "services/replicator/simulation/sim_coordinator.h"
#include "services/replicator/simulation/world.h"
#include "services/store/log/epochs.h"

namespace dunlin::replicator::simulation {

// Mistakes of a driver, or of what it stands on. The checks have to find each.
enum class Bug {
  kNone,
  kAckWithoutLease,        // the broker does not look at lease_until
  kAckBeforeFlush,         // a slave says flushed of what is only received
  kKeepDivergedTail,       // a slave says that it truncated
  kElectOutsideInSync,     // everybody believes to be in the in-sync set
  kShrinkWithoutCas,       // a change of the set is not written to the coordinator
  kLieInPromise,           // promises tell an empty log
  kForgetEpochs,           // the begin of an epoch does not survive a crash
  kConfirmWhatIsReceived,  // a slave shows consumers all that it has
  kOnePledgeIsEnough,      // what one member pledges counts for all
  kPledgeFromAnswer,       // a pledge is counted from when it was answered
  kRestartForgetsPledge,   // who was started anew may be elected at once
  kChangeTwoAtOnce,        // two voters of a roster are others by one write, whoever has what
  kChangeUncommitted,      // one at a time, but nobody asks who has what
};

class SimNode {
 public:
  struct Config {
    int place;
    MemberOptions options;
    SimCoordinator::Faults coordinator_faults;
    Bug bug = Bug::kNone;
    double clock_rate = 1;  // seconds of its own per true second
    Duration clock_offset{0};
  };
  SimNode(World& world, SimCoordinator& coordinator, Checker& checker, Config config);

  void SetPeers(std::vector<SimNode*> peers) { peers_ = std::move(peers); }

  void Start();
  // Both processes end.
  void Crash();
  void CutPower();
  // Its machine is replaced by one with an empty disk.
  void Wipe();
  // What stood in the middle of its log is found damaged at its next start.
  void Damage();
  // The replicator alone ends; the broker goes on with the page as it is.
  void CrashReplicator();
  // Nothing of its processes runs until Resume; then all that came meanwhile at once.
  void Pause() { paused_ = true; }
  void Resume();
  // An operator's command, to whatever member this is.
  void SwitchOver(const MemberName& target);
  // It says that it will stop; to be crashed soon.
  void Leave();
  void ChangeRoster(const RosterChange& change);
  // Writes other voters into the record without asking the rules. REQUIRES: a bug that does it.
  void ChangeRosterBlindly();

  // A client sends; whether this node took the record.
  bool Send(uint64_t id);

  bool running() const { return member_ != nullptr; }
  bool paused() const { return paused_; }
  // Its store is one of the group's: what it forgets now would be missed.
  bool established() const { return disk_.promise.has_value() && !disk_.damaged.has_value(); }
  bool is_serving() const {
    return member_ != nullptr && broker_epoch_ != Epoch(0) && page_.accepting == Accepting::kYes;
  }
  const MemberName& name() const { return config_.options.name; }
  const std::vector<Record>& log() const { return disk_.log; }
  // How often it began anew behind the beginning of the log, for what it lacked had expired.
  uint64_t begun_anew() const { return begun_anew_; }
  // Records that it acknowledged without a lease, by pledges.
  uint64_t by_pledges() const { return by_pledges_; }
  std::string Describe() const;

 private:
  struct Disk {
    // Also what has expired, for the checks alone: what the node may use begins at `start`.
    std::vector<Record> log;
    uint64_t start = 0;
    uint64_t flushed = 0;  // records
    store::Epochs epochs;
    std::optional<Epoch> promise;
    bool of_group = false;
    Epoch seen;                       // with the mark of the group
    std::optional<uint64_t> damaged;  // the records from there on cannot be read
  };
  // A stream between a slave and its master: in order, whole, until it breaks.
  struct Stream {
    uint64_t number;
    SimNode* slave;
    SimNode* master;
    bool open = true;
    Instant to_slave, to_master;  // when the newest message on the way arrives
    Instant slave_heard, master_heard;
  };
  // The master's end of one.
  struct Shipping {
    std::shared_ptr<Stream> stream;
    uint64_t next = 0;  // record
    Epoch begun;        // the slave was told of the epochs up to it
    uint64_t in_flight = 0;
  };
  struct Frame {
    EpochHistory::Entry epoch;
    uint64_t index;
    std::vector<Record> records;
    LogOffset confirm;
    LogOffset begin;
  };
  struct Waiter {
    uint64_t end;
    Record record;
    Epoch epoch;
  };

  Instant LocalNow() const;
  // Runs `input` in the replicator when it can, unless it ended since.
  void Deliver(std::function<void()> input);
  void RunNow(const std::function<void()>& input);
  // After an input: the page, the actions, the next tick.
  void Pump();
  void ScheduleTick();
  void TellPledge(const MemberName& peer, Epoch epoch, const PledgeAnswer& answer, Instant sent);
  LogState State() const;
  uint64_t end() const { return disk_.log.size(); }
  void LogChanged();
  EpochHistory History() const { return HistoryOf(disk_.epochs); }

  void Do(const action::Elect& action);
  void Do(const action::Update& action);
  void Do(const action::KeepAlive& action);
  void Do(const action::Retake& action);
  void Do(const action::Release& action);
  void Do(const action::AskPeers& action);
  void Do(const action::AskPromises& action);
  void Do(const action::AskPledges& action);
  void Do(const action::PersistPromise& action);
  void Do(const action::AnswerPromise& action);
  void Do(const action::Follow& action);
  void Do(const action::StopFollowing& action);
  void Do(const action::Truncate& action);
  void Do(const action::Reset& action);
  void Do(const action::Repair& action);
  void Do(const action::DropStream& action);
  void Do(const action::DropSlaves& action);
  void Do(const action::DropSlave& action);
  void Do(const action::BeginEpoch& action);

  // As slave.
  void ConnectLater();
  void Connect();
  void OnFrame(const std::shared_ptr<Stream>& stream, const Frame& frame);
  void SendAck(uint64_t frames);
  void MirrorReady(uint64_t stream);
  // The oldest part of the log goes, up to somewhere below `limit`.
  void Expire(LogOffset limit);
  // As master.
  void OnHello(const std::shared_ptr<Stream>& stream, const Hello& hello);
  void Ship(Shipping& shipping, bool heartbeat);
  EpochHistory::Entry NextEpoch(const Shipping& shipping) const;
  void ShipAll(bool heartbeat);
  void OnAck(uint64_t stream, const std::optional<Ack>& ack, uint64_t frames);
  // Both.
  void SendOn(const std::shared_ptr<Stream>& stream, bool to_slave, std::function<void()> arrive);
  void Break(const std::shared_ptr<Stream>& stream);
  void OnBroken(const std::shared_ptr<Stream>& stream);
  void Heartbeat();

  // The broker and the disk.
  void WritePage(const PageState& page);
  void BrokerFollows();
  void TellSenders();
  void ReadConfirmed();
  void FlushLater();
  void Flush();
  bool BrokerWrites() const { return broker_epoch_ != Epoch(0); }

  World& world_;
  SimCoordinator& sim_coordinator_;
  Checker& checker_;
  const Config config_;
  std::vector<SimNode*> peers_;

  Disk disk_;
  PageState page_;      // the control page; survives the processes
  uint64_t shown_ = 0;  // on it: readers have seen records below
  bool paused_ = false;
  std::vector<std::function<void()>> held_;  // came while paused

  // The replicator's process.
  uint64_t life_ = 0;  // counts its starts: what was meant for an earlier one is dropped
  std::unique_ptr<Member> member_;
  std::unique_ptr<Coordinator> coordinator_;
  bool pumping_ = false;
  uint64_t tick_ = 0;
  std::function<void()> when_broker_stopped_;
  MemberName following_;
  std::shared_ptr<Stream> followed_;
  uint64_t frames_received_ = 0;
  std::vector<Record> expired_;  // of the master that is followed, for the checks
  uint64_t begun_anew_ = 0;
  uint64_t by_pledges_ = 0;
  std::map<uint64_t, Shipping> shipping_;
  std::map<uint64_t, std::function<void(const PromiseAnswer&)>> asked_;
  uint64_t next_ticket_ = 0;

  // The broker's process.
  uint64_t broker_life_ = 0;
  bool broker_running_ = false;
  Epoch broker_epoch_;  // writes the log in this epoch; 0: does not write
  std::deque<Waiter> waiters_;
  uint64_t read_ = 0;  // consumers have seen records below
  bool flushing_ = false;
  uint64_t flush_life_ = 0;  // counts what a flush under way does not outlive
};

}  // namespace dunlin::replicator::simulation
