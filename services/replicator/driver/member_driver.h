// MemberDriver: gives the state machine of a member what happens, and does what it says.
//
// One thread owns roles/member.h and the member's log; everything else (streams, the coordinator,
// peers, callers) puts what happens into its inbox and rings the bell of the control page, which is
// also what the broker rings. So there is one place where the thread waits, and one order of
// events.
//
// A crash leaves what the log, its epochs, `promise` and `group` hold; the next life takes back the
// orders of this one first, and goes on as a slave.

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/base/civil_clock.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/coordinator/instant.h"
#include "services/replicator/coordinator/roster.h"
#include "services/replicator/driver/group_mark.h"
#include "services/replicator/driver/inbox.h"
#include "services/replicator/driver/local_log.h"
#include "services/replicator/roles/member.h"
#include "services/replicator/transport/log_receiver.h"
#include "services/replicator/transport/log_sender.h"
#include "services/replicator/transport/peers.h"
#include "services/store/log/control_page.h"

namespace dunlin::replicator {

class MemberDriver final : private LogSender::Listener, private LogReceiver::Listener {
 public:
  struct Options {
    Identity identity;
    MemberOptions member;
    std::map<MemberName, std::string> addresses;  // of all, until the record says so
    std::string directory;                        // of the store
    std::chrono::milliseconds flush_interval{500};
    LaneOptions lane;
    LogReceiver::Options receiver;
    Peers::Options peers;
    Duration broker_silence = std::chrono::seconds(3);  // then its broker counts as dead
  };

  // Opens the store, takes back the orders of a former life, starts the thread. `files`, `clock`
  // and `coordinator` must outlive the driver. `on_failure` is called once, on the thread, when the
  // log has failed for good: the process should stop, and recover at its next start. Errors: those
  // of ControlPage::Open and LogMirror::Open; DATA_LOSS (the promise or the mark of the group is
  // damaged), FAILED_PRECONDITION (the store is another group's).
  static absl::StatusOr<std::unique_ptr<MemberDriver>> Start(Options options, FileSystem& files,
                                                             const Clock& clock,
                                                             Coordinator& coordinator,
                                                             std::function<void()> on_failure);
  ~MemberDriver();  // Stop

  // Follow calls go there.
  LogSender& sender() { return *sender_; }

  // For the service. Any thread; the answer comes on the driver's, and not at all once it stops.
  using Described = absl::AnyInvocable<void(const v1::GetMemberResponse&)>;
  using Promised = absl::AnyInvocable<void(const PromiseAnswer&)>;
  using Pledged = absl::AnyInvocable<void(const PledgeAnswer&)>;
  using Answered = absl::AnyInvocable<void(const absl::Status&)>;
  void Describe(Described answer) ABSL_LOCKS_EXCLUDED(asking_mutex_);
  void AskPromise(const MemberName& candidate, Epoch epoch, Promised answer);
  void AskPledge(const PledgeRequest& request, Pledged answer);
  // All that are in sync reach the successor first.
  void SwitchOver(const MemberName& successor, Answered answer);
  // Whether this member reaches another one: as of Peers.
  void Reach(const MemberName& peer, Answered answer);
  void ElectUnclean(Answered answer);
  void Elect(Answered answer);
  void ChangeRoster(const RosterChange& change, Answered answer);

  // A master hands over to a slave that has everything, if there is one, and returns when it has
  // let go of its lease; a slave says that it goes, and returns when its master waits for it no
  // more; or after `patience`: so that nobody waits for a lease to run out, nor for who has gone.
  // To be called before Stop.
  void HandOver(std::chrono::milliseconds patience);

  // Of the thread so far: many of them in a time in which nothing happens are a mistake.
  uint64_t rounds() const { return rounds_; }

  // Streams end, the mirror is closed; the lease of a master that did not hand over runs out by
  // itself. Idempotent.
  absl::Status Stop();

 private:
  MemberDriver(Options options, FileSystem& files, const Clock& clock, Coordinator& coordinator,
               std::function<void()> on_failure, std::unique_ptr<store::ControlPage> page);

  absl::Status Open();
  std::string PromisePath() const { return options_.directory + "/promise"; }
  std::string MarkPath() const { return options_.directory + "/group"; }
  // The store is the group's from here on.
  absl::Status MarkStore();
  store::LogMirror::Confirmed MayGo(bool discards_confirmed) const;
  void Run();
  // One round: inputs, the log, the time; then what the member wants.
  void Step();
  void Put(Inbox::Input input) { inbox_.Put(std::move(input)); }
  Instant Now() const { return BootClock::now(); }

  // Streams of slaves, on gRPC's threads.
  void OnHello(uint64_t stream, const Hello& hello) override;
  void OnAck(uint64_t stream, const Ack& ack) override ABSL_LOCKS_EXCLUDED(acks_mutex_);
  void OnSlaveGone(uint64_t stream) override;
  // The stream of the master, on gRPC's threads.
  void OnStreamStart(uint64_t stream, const StreamStart& start) override;
  void OnFrame(uint64_t stream, LogReceiver::Frame frame) override;
  void OnStreamBroken(uint64_t stream, const absl::Status& why) override;

  v1::GetMemberResponse Description() const;
  void TakeAcks() ABSL_LOCKS_EXCLUDED(acks_mutex_);
  void TakeFrame(uint64_t stream, const LogReceiver::Frame& frame);
  void AcknowledgeFrames();
  void LookAtLog();
  void TellSlaves();
  void LookAtBroker();
  bool wants_log() const;
  // A coordinator that is away is told of, with what it means, and that it is back.
  void LookAtCoordinator();
  // Opens the log again once the broker has let it go.
  void ReopenLog();
  void DropOldSegments();
  // The members are those of the group's record (member_roster.cc).
  void ApplyRoster();
  void DescribeRoster(v1::GetMemberResponse& description) const;
  // Who has to follow another master, should `successor` become it.
  std::vector<MemberName> FollowersOf(const MemberName& successor) const;
  // To a slave that can take over, rather one that has everything already; false: there is none.
  bool SwitchOverToAny();
  void TellHandedOver();
  bool HasHandedOver() const;
  void Fail(const absl::Status& why);

  void WritePage();
  void HandOverLog();
  void Advance();
  void CarryOut(Action action);
  void Do(const action::Elect& elect);
  void Do(const action::Update& update);
  void Do(const action::KeepAlive& keep_alive);
  void Do(const action::Retake& retake);
  void Do(const action::Release& release);
  void Do(const action::AskPeers& ask);
  void Do(const action::AskPromises& ask);
  void Do(const action::AskPledges& ask);
  void Do(const action::PersistPromise& persist);
  void Do(action::AnswerPromise& answer);
  void Do(const action::Follow& follow);
  void Do(const action::StopFollowing& stop);
  void Do(const action::Truncate& truncate);
  void Do(const action::Reset& reset);
  void Do(const action::Repair& repair);
  void Do(const action::DropStream& drop);
  void Do(const action::DropSlaves& drop);
  void Do(const action::DropSlave& drop);
  void Do(const action::BeginEpoch& begin);
  // A result of the coordinator, on the driver's thread.
  Coordinator::Done Report(void (Member::*told)(const Coordinator::Result&, Instant));

  const Options options_;
  FileSystem& files_;
  const Clock& clock_;
  const CivilClock civil_clock_;  // of credentials, which others look at
  Coordinator& coordinator_;
  const std::function<void()> on_failure_;
  const std::unique_ptr<store::ControlPage> page_;
  Inbox inbox_;
  LocalLog log_;
  std::unique_ptr<Member> member_;
  std::unique_ptr<LogSender> sender_;
  std::unique_ptr<LogReceiver> receiver_;
  std::unique_ptr<Peers> peers_;

  // The newest of each stream: they come faster than anybody needs them.
  Mutex acks_mutex_;
  std::map<uint64_t, Ack> acks_ ABSL_GUARDED_BY(acks_mutex_);

  // Who waits for a description; held by the input that answers them.
  using Asking = std::vector<Described>;
  Mutex asking_mutex_;
  std::weak_ptr<Asking> asking_ ABSL_GUARDED_BY(asking_mutex_);

  // Of the thread.
  std::optional<GroupMark> mark_;
  PageState written_;    // what stands on the page
  uint32_t serial_ = 0;  // of the role on the page
  LogState seen_;        // what the member knows of the log
  LogExtent told_;       // what the slaves know of it
  Roster roster_;        // that everything else knows of; empty: as the configuration says
  std::map<MemberName, std::string> addresses_;
  MemberName followed_;   // the receiver follows it
  MemberName to_follow_;  // once the log is open
  std::optional<Epoch> to_begin_;
  Instant reopen_at_{};
  Instant broker_beat_at_{};
  uint64_t broker_beat_ = 0;
  int handovers_ = 0;  // since its broker served last
  uint64_t next_ticket_ = 0;
  std::map<uint64_t, Promised> promised_;
  // Frames that were handled and not acknowledged yet.
  uint64_t framed_stream_ = 0;
  int frames_ = 0;
  uint64_t frame_bytes_ = 0;
  Ack acknowledged_;
  std::function<void()> handed_over_;  // to be told when it is nobody's lease, or another's
  bool failed_ = false;
  // What is wrong, in words; empty: nothing.
  std::string broker_problem_;
  std::string stream_problem_;
  uint64_t elections_ = 0;
  // The lease of the master is over: since when, and whether it goes on by pledges.
  std::optional<Instant> lease_over_at_;
  bool by_pledges_ = false;

  std::atomic<uint64_t> rounds_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace dunlin::replicator
