#include "services/replicator/driver/member_driver.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <deque>
#include <future>
#include <utility>
#include <variant>
#include <vector>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/replicator/driver/member_status.h"
#include "services/replicator/driver/promise_file.h"
#include "services/replicator/driver/raw_log_source.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;

// Whoever waits for the broker to let the log go looks again as often, also when nobody rings: a
// broker that was killed does not.
constexpr milliseconds kReopenInterval{50};
// And the longest sleep of the thread: the broker's heartbeat is looked at.
constexpr milliseconds kLongestSleep{500};
// Of the patience with a broker that does not beat: 16 times as long at most.
constexpr int kMostDoublings = 4;

store::Role OnPage(Role role) {
  switch (role) {
    case Role::kNone:
      return store::Role::kNone;
    case Role::kSlave:
      return store::Role::kSlave;
    case Role::kMaster:
      return store::Role::kMaster;
  }
  return store::Role::kNone;
}

store::Sends OnPage(Accepting accepting) {
  switch (accepting) {
    case Accepting::kYes:
      return store::Sends::kAccepted;
    case Accepting::kTooFewInSync:
    case Accepting::kNoQuorum:
      return store::Sends::kTooFewInSync;
    case Accepting::kSwitchover:
      return store::Sends::kSwitchover;
    case Accepting::kNotMaster:
    case Accepting::kLeaseOver:
      break;
  }
  return store::Sends::kNobodySaid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<MemberDriver>> MemberDriver::Start(
    Options options, FileSystem& files, const Clock& clock, Coordinator& coordinator,
    std::function<void()> on_failure) {
  RETURN_IF_ERROR(files.CreateDirectories(options.directory));
  ASSIGN_OR_RETURN(std::unique_ptr<store::ControlPage> page,
                   store::ControlPage::Open(files, options.directory + "/control"));
  auto driver = std::unique_ptr<MemberDriver>(new MemberDriver(
      std::move(options), files, clock, coordinator, std::move(on_failure), std::move(page)));
  RETURN_IF_ERROR(driver->Open());
  return driver;
}

MemberDriver::MemberDriver(Options options, FileSystem& files, const Clock& clock,
                           Coordinator& coordinator, std::function<void()> on_failure,
                           std::unique_ptr<store::ControlPage> page)
    : options_(std::move(options)),
      files_(files),
      clock_(clock),
      coordinator_(coordinator),
      on_failure_(std::move(on_failure)),
      page_(std::move(page)),
      inbox_([this] { page_->for_replicator().Ring(); }),
      log_({.mirror = {.directory = options_.directory, .flush_interval = options_.flush_interval},
            .flush_at_once = options_.member.flush == Flush::kSync},
           *page_, files_, [this] { page_->for_replicator().Ring(); }),
      addresses_(options_.addresses) {}

MemberDriver::~MemberDriver() {
  if (const absl::Status stopped = Stop(); !stopped.ok()) {
    log::Error("the member did not stop cleanly: {}", stopped.ToString());
  }
}

absl::Status MemberDriver::Open() {
  ASSIGN_OR_RETURN(const std::optional<Epoch> promise, LoadPromise(files_, PromisePath()));
  ASSIGN_OR_RETURN(mark_, LoadGroupMark(files_, MarkPath()));
  if (mark_.has_value() && mark_->group != options_.identity.group) {
    return absl::FailedPreconditionError(
        fmt::format("the store in {} holds the log of broker group '{}', and this is a member of "
                    "'{}': set broker.broker_name back, or move the store away",
                    options_.directory, mark_->group, options_.identity.group));
  }
  LogOffset confirmed = page_->replicated();
  if (confirmed == store::ControlPage::kEverything && options_.member.mode != Mode::kAsync) {
    confirmed = LogOffset(0);  // the mode was another one then
  }
  // A broker that served in the former life lets the log go, unless it was a slave's.
  page_->BeginOrders();
  const Instant patience = Now() + options_.broker_silence;
  for (;;) {
    const uint32_t looked = page_->for_replicator().Look();
    const absl::Status opened = log_.Open();
    if (opened.ok()) break;
    if (!absl::IsFailedPrecondition(opened) || Now() >= patience) return opened;
    page_->for_replicator().Wait(looked, kReopenInterval);
  }
  // What readers have seen is confirmed, whatever the last orders were.
  if (options_.member.mode != Mode::kAsync) confirmed = std::max(confirmed, page_->shown());
  seen_ = log_.state();
  member_ = std::make_unique<Member>(options_.member,
                                     Member::Durable{.log = seen_,
                                                     .promise = promise,
                                                     .confirmed = confirmed,
                                                     .of_group = mark_.has_value(),
                                                     .seen = mark_.value_or(GroupMark{}).seen,
                                                     .started = Now()});
  broker_beat_at_ = Now();
  LogSender::Listener& of_slaves = *this;
  LogReceiver::Listener& of_master = *this;
  sender_ = std::make_unique<LogSender>(options_.identity, options_.lane,
                                        OpenRawLog(files_, options_.directory), clock_, of_slaves);
  receiver_ = std::make_unique<LogReceiver>(
      options_.identity, options_.receiver, [] { return BootClock::now(); },
      [this] { return member_->hello(); }, of_master);
  peers_ =
      std::make_unique<Peers>(options_.identity, options_.addresses, options_.peers, civil_clock_);
  log::Info("member {} of group {}: the log goes from {} to {}, epochs {}",
            options_.identity.member, options_.identity.group, seen_.start.value(),
            seen_.end.value(), seen_.history.ToString());
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "member");
  coordinator_.Start(
      [this](const GroupView& view) { Put([this, view] { member_->OnView(view, Now()); }); });
  return absl::OkStatus();
}

void MemberDriver::HandOver(milliseconds patience) {
  const auto done = std::make_shared<std::promise<void>>();
  std::future<void> handed_over = done->get_future();
  Put([this, done] {
    handed_over_ = [done] { done->set_value(); };
    if (member_->mastership() == nullptr) {
      member_->Leave();
    } else if (!SwitchOverToAny()) {
      std::exchange(handed_over_, nullptr)();
    }
  });
  if (handed_over.wait_for(patience) != std::future_status::ready) {
    log::Warning("nobody took over within {} ms", patience.count());
  }
}

absl::Status MemberDriver::Stop() {
  if (!thread_.joinable()) return absl::OkStatus();
  // First the thread: the receiver is its alone, and may be about to connect.
  stopping_ = true;
  page_->for_replicator().Ring();
  thread_.join();
  coordinator_.Stop();
  sender_->Stop();
  receiver_->Stop();
  peers_->Stop();
  inbox_.Close();
  promised_.clear();  // who waits is answered that the member stops
  // A broker that is master stops acknowledging at once, and soon lets the log go.
  page_->BeginOrders();
  return log_.Close();
}

// ---- the thread ----

void MemberDriver::Run() {
  while (!stopping_) {
    const uint32_t looked = page_->for_replicator().Look();
    Step();
    ++rounds_;
    const Instant now = Now();
    Instant wake = std::min(member_->wake_at(), receiver_->wake_at());
    if (wants_log()) wake = std::min(wake, reopen_at_);
    wake = std::min(wake, now + kLongestSleep);
    if (wake > now) page_->for_replicator().Wait(looked, wake - now);
  }
}

void MemberDriver::Step() {
  for (Inbox::Input& input : inbox_.Take()) {
    input();
    Advance();
  }
  TakeAcks();
  LookAtLog();
  LookAtBroker();
  member_->Tick(Now());
  Advance();
  LookAtCoordinator();
  TellSlaves();
  TellHandedOver();
  AcknowledgeFrames();
  ReopenLog();
  receiver_->Tick(Now());
  DropOldSegments();
}

void MemberDriver::Advance() {
  for (;;) {
    ApplyRoster();
    WritePage();
    std::vector<Action> actions = member_->TakeActions();
    if (actions.empty()) return;
    for (Action& action : actions) CarryOut(std::move(action));
  }
}

void MemberDriver::LookAtLog() {
  LogState state = log_.state();
  if (state.start == seen_.start && state.end == seen_.end && state.flushed == seen_.flushed &&
      state.history == seen_.history && state.damaged == seen_.damaged) {
    return;
  }
  seen_ = std::move(state);
  member_->OnLog(seen_, Now());
  if (const absl::Status health = log_.health(); !health.ok()) Fail(health);
}

void MemberDriver::TellSlaves() {
  const LogExtent extent{
      .begin = seen_.start, .end = seen_.end, .confirm = std::min(member_->confirm(), seen_.end)};
  if (extent == told_) return;
  told_ = extent;
  sender_->Advance(extent);
}

// A broker that is master and does not beat is dead, or hangs: somebody else shall serve, if there
// is anybody who has everything.
void MemberDriver::LookAtBroker() {
  const Instant now = Now();
  const uint64_t beat = page_->heartbeat();
  const store::Reported reported = page_->reported();
  const bool failed = reported.state == store::BrokerState::kFailed && reported.serial == serial_;
  if (beat != broker_beat_ && !failed) {
    broker_beat_ = beat;
    broker_beat_at_ = now;
    broker_problem_.clear();
    if (reported == store::Reported{store::BrokerState::kMaster, serial_}) handovers_ = 0;
  }
  // Twice as long each time: where no broker can serve, mastership does not go round, an epoch each
  // time, as fast as it can.
  const Duration patience = options_.broker_silence * (1 << std::min(handovers_, kMostDoublings));
  if (written_.role != Role::kMaster || now < broker_beat_at_ + patience) return;
  broker_beat_at_ = now;
  if (member_->page().accepting == Accepting::kSwitchover) return;  // on its way
  const bool news = broker_problem_.empty();
  broker_problem_ = "the broker beside it does not answer";
  if (!coordinator_.elects()) {
    if (news) log::Error("{}, and nobody else can be the master", broker_problem_);
    return;
  }
  log::Error("{}: handing over to another member", broker_problem_);
  // The slaves have to have everything, on the disk of each if that is the mode: of this one, too.
  if (const absl::Status salvaged = log_.Salvage(); salvaged.ok()) {
    LookAtLog();
  } else {
    log::Warning("what it wrote last cannot be synced: {}", FromAbsl(salvaged.message()));
  }
  if (SwitchOverToAny()) {
    ++handovers_;
  } else {
    log::Error("nobody else can take over");
  }
}

void MemberDriver::LookAtCoordinator() {
  const bool over = member_->LeaseIsOver();
  const bool by_pledges = member_->GoesOnByPledges();
  if (over == lease_over_at_.has_value() && by_pledges == by_pledges_) return;
  const Instant now = Now();
  const auto seconds = [now](Instant since) {
    return std::chrono::duration<double>(now - since).count();
  };
  if (!over) {
    if (member_->mastership() != nullptr) {
      log::Warning("the coordinator answers again, {:.1f} s after the lease was over",
                   seconds(*lease_over_at_));
    }
    lease_over_at_.reset();
  } else {
    if (!lease_over_at_.has_value()) lease_over_at_ = now;
    const std::string away = fmt::format("the coordinator is away, the lease is over for {:.1f} s",
                                         seconds(*lease_over_at_));
    if (by_pledges) {
      log::Warning("{}: going on by the pledges of {} not to be elected", away,
                   fmt::join(member_->pledges().names(), ", "));
    } else {
      log::Error("{}: nothing is acknowledged until it is back, or all have pledged; missing: {}",
                 away, fmt::join(member_->pledges().MissingAt(now), ", "));
    }
  }
  by_pledges_ = by_pledges;
}

bool MemberDriver::SwitchOverToAny() {
  const Mastership* const mastership = member_->mastership();
  if (mastership == nullptr || !coordinator_.elects()) return false;
  // Those that have everything first.
  std::deque<MemberName> able;
  for (const auto& [name, slave] : mastership->slaves()) {
    if (mastership->HasAll(name, seen_)) {
      able.push_front(name);
    } else {
      able.push_back(name);
    }
  }
  for (const MemberName& name : able) {
    const absl::Status handed = member_->SwitchOver(name, Now());
    if (handed.ok()) return true;
    log::Warning("{} cannot take over: {}", name, FromAbsl(handed.message()));
  }
  return false;
}

bool MemberDriver::HasHandedOver() const {
  if (member_->mastership() != nullptr || member_->IsWaitedFor()) return false;
  const std::optional<GroupView>& view = member_->view();
  return !view.has_value() || !view->lease.has_value() ||
         view->lease->name != options_.identity.member;
}

void MemberDriver::TellHandedOver() {
  if (!handed_over_ || !HasHandedOver()) return;
  log::Info("{} has let go of the lease, and nobody waits for it", options_.identity.member);
  std::exchange(handed_over_, nullptr)();
}

// Of a master the broker has it.
bool MemberDriver::wants_log() const {
  return !log_.open() && written_.role != Role::kMaster && !failed_;
}

void MemberDriver::ReopenLog() {
  const Instant now = Now();
  if (!wants_log() || now < reopen_at_) return;
  reopen_at_ = now + kReopenInterval;
  const absl::Status opened = log_.Open();
  if (absl::IsFailedPrecondition(opened)) return;  // the broker still has it
  if (!opened.ok()) return Fail(opened);
  LookAtLog();
  if (to_begin_.has_value()) Do(action::BeginEpoch{*std::exchange(to_begin_, std::nullopt)});
  if (!to_follow_.empty()) Do(action::Follow{std::exchange(to_follow_, "")});
  Advance();
}

void MemberDriver::DropOldSegments() {
  if (!log_.open()) return;
  const LogOffset unneeded = std::min(page_->viewed(), member_->page().master_start);
  if (unneeded <= seen_.start) return;
  if (const absl::Status dropped = log_.DropBefore(unneeded); !dropped.ok()) Fail(dropped);
}

void MemberDriver::Fail(const absl::Status& why) {
  if (std::exchange(failed_, true)) return;
  log::Critical("the log failed: {}", why.ToString());
  member_->OnLogFailed(why, Now());
  Advance();
  on_failure_();
}

// ---- the page ----

void MemberDriver::WritePage() {
  const PageState& page = member_->page();
  if (serial_ != 0 && page == written_) return;
  const bool other_role = serial_ == 0 || page.role != written_.role ||
                          (page.role == Role::kMaster && page.epoch != written_.epoch);
  const std::chrono::nanoseconds lease = page.lease_until.time_since_epoch();
  if (other_role && page.role != Role::kMaster) {
    // A demotion: first nothing is acknowledged any more.
    page_->SetLeaseUntil(std::chrono::nanoseconds(0));
    page_->SetSends(store::Sends::kNobodySaid);
  }
  if (page.replicated != written_.replicated || other_role) page_->SetReplicated(page.replicated);
  if (page.lease_until != written_.lease_until || other_role) page_->SetLeaseUntil(lease);
  if (page.accepting != written_.accepting || other_role) page_->SetSends(OnPage(page.accepting));
  if (page.master_start != written_.master_start) page_->SetMasterStart(page.master_start);
  written_ = page;
  if (!other_role) return;
  if (page.role == Role::kMaster) {
    // From here on the broker writes.
    if (const absl::Status closed = log_.Close(); !closed.ok()) return Fail(closed);
    broker_beat_at_ = Now();
    ++elections_;
    stream_problem_.clear();
  }
  serial_ = page_->Want(OnPage(page.role), page.epoch);
  log::Info("{}: {}", options_.identity.member, member_->Describe());
}

// ---- what others ask ----

// Anybody may ask, without a secret, and the thread that renews the lease answers: so it does once
// for all that wait by then.
void MemberDriver::Describe(Described answer) {
  std::shared_ptr<Asking> asking;
  {
    MutexLock lock(asking_mutex_);
    asking = asking_.lock();
    const bool put = asking != nullptr;
    if (!put) asking_ = asking = std::make_shared<Asking>();
    asking->push_back(std::move(answer));
    if (put) return;
  }
  Put([this, asking = std::move(asking)] {
    Asking all;
    {
      MutexLock lock(asking_mutex_);
      asking_.reset();
      all.swap(*asking);
    }
    const v1::GetMemberResponse description = Description();
    for (Described& told : all) told(description);
  });
}

v1::GetMemberResponse MemberDriver::Description() const {
  v1::GetMemberResponse description =
      DescribeMember(*member_, options_.identity.group,
                     broker_problem_.empty() ? stream_problem_ : broker_problem_, Now());
  description.set_elections(elections_);
  if (description.accepting() &&
      page_->reported() != store::Reported{store::BrokerState::kMaster, serial_}) {
    description.set_accepting(false);
    description.set_refusal("the broker beside it is not ready yet");
  }
  DescribeRoster(description);
  return description;
}

void MemberDriver::AskPromise(const MemberName& candidate, Epoch epoch, Promised answer) {
  Put([this, candidate, epoch, answer = std::move(answer)]() mutable {
    const uint64_t ticket = ++next_ticket_;
    promised_.emplace(ticket, std::move(answer));
    member_->OnPromiseAsked(ticket, candidate, epoch, Now());
  });
}

void MemberDriver::AskPledge(const PledgeRequest& request, Pledged answer) {
  Put([this, request, answer = std::move(answer)]() mutable {
    answer(member_->OnPledgeAsked(request, Now()));
  });
}

std::vector<MemberName> MemberDriver::FollowersOf(const MemberName& successor) const {
  const Mastership* const mastership = member_->mastership();
  if (mastership == nullptr) return {};
  const bool all = options_.member.mode == Mode::kQuorum;
  std::vector<MemberName> followers;
  for (const auto& [name, slave] : mastership->slaves()) {
    const bool counts = all ? member_->options().members.contains(name)
                            : mastership->in_sync().written().contains(name);
    if (counts && name != successor && slave.stream != 0) followers.push_back(name);
  }
  return followers;
}

// A successor that is found by some and not by all, as when its name is known to no name server
// yet, would wait for those that do not find it, and so would everybody who sends.
void MemberDriver::SwitchOver(const MemberName& successor, Answered answer) {
  if (!coordinator_.elects()) {
    return answer(absl::FailedPreconditionError(
        "the configuration says who is master, and nobody else can be elected: change "
        "replication.master, the same at all members, and start them anew"));
  }
  Put([this, successor, answer = std::make_shared<Answered>(std::move(answer))] {
    peers_->AskReached(FollowersOf(successor), successor,
                       [this, successor, answer](const absl::Status& reached) {
                         Put([this, successor, answer, reached] {
                           (*answer)(reached.ok() ? member_->SwitchOver(successor, Now())
                                                  : absl::AbortedError(reached.message()));
                         });
                       });
  });
}

void MemberDriver::Reach(const MemberName& peer, Answered answer) {
  const auto told = std::make_shared<Answered>(std::move(answer));
  peers_->Reach(peer, [told](const absl::Status& reached) { (*told)(reached); });
}

void MemberDriver::ElectUnclean(Answered answer) {
  Put([this, answer = std::move(answer)]() mutable { answer(member_->ElectUnclean(Now())); });
}

void MemberDriver::Elect(Answered answer) {
  Put([this, answer = std::move(answer)]() mutable { answer(member_->Elect(Now())); });
}

// ---- streams of slaves ----

void MemberDriver::OnHello(uint64_t stream, const Hello& hello) {
  Put([this, stream, hello] {
    const absl::StatusOr<StreamStart> start = member_->OnHello(stream, hello, Now());
    if (!start.ok()) return sender_->Refuse(stream, start.status());
    log::Info("{} follows from {} on", hello.member,
              start->common.has_value() ? start->common->offset.value() : start->start.value());
    sender_->Start(stream, *start, seen_.history);
  });
}

void MemberDriver::OnAck(uint64_t stream, const Ack& ack) {
  {
    MutexLock lock(acks_mutex_);
    acks_.insert_or_assign(stream, ack);
  }
  page_->for_replicator().Ring();
}

void MemberDriver::TakeAcks() {
  std::map<uint64_t, Ack> acks;
  {
    MutexLock lock(acks_mutex_);
    acks.swap(acks_);
  }
  for (const auto& [stream, ack] : acks) member_->OnAck(stream, ack, Now());
}

void MemberDriver::OnSlaveGone(uint64_t stream) {
  Put([this, stream] { member_->OnSlaveGone(stream, Now()); });
}

// ---- the stream of the master ----

void MemberDriver::OnStreamStart(uint64_t stream, const StreamStart& start) {
  Put([this, stream, start] { member_->OnStreamStart(stream, start, Now()); });
}

void MemberDriver::OnFrame(uint64_t stream, LogReceiver::Frame frame) {
  Put([this, stream, frame = std::move(frame)] { TakeFrame(stream, frame); });
}

void MemberDriver::OnStreamBroken(uint64_t stream, const absl::Status& why) {
  Put([this, stream, why] {
    stream_problem_ = absl::IsCancelled(why) ? "" : std::string(why.message());
    member_->OnStreamBroken(stream, Now());
  });
}

void MemberDriver::TakeFrame(uint64_t stream, const LogReceiver::Frame& frame) {
  absl::Status taken =
      log_.open() ? member_->OnFrame(stream, frame.header.confirm, frame.header.begin, Now())
                  : absl::FailedPreconditionError("the log is not open");
  if (taken.ok()) taken = log_.Append(frame);
  if (const absl::Status health = log_.health(); !health.ok()) return Fail(health);
  if (!taken.ok()) {
    receiver_->Release(stream, 1);
    return receiver_->Drop(stream, taken);
  }
  if (framed_stream_ != stream) {
    framed_stream_ = stream;
    frames_ = 0;
    frame_bytes_ = 0;
  }
  stream_problem_.clear();
  ++frames_;
  frame_bytes_ += frame.records.size();
}

// One acknowledgement for all frames of a round, and for what got to the disk meanwhile.
void MemberDriver::AcknowledgeFrames() {
  LookAtLog();
  if (framed_stream_ == 0) return;
  const std::optional<Ack> ack = member_->ack(framed_stream_);
  if (!ack.has_value()) return;
  const bool news = ack->received != acknowledged_.received ||
                    ack->flushed != acknowledged_.flushed || ack->epoch != acknowledged_.epoch ||
                    ack->leaving != acknowledged_.leaving;
  if (frames_ == 0 && !news) return;
  acknowledged_ = *ack;
  receiver_->Acknowledge(framed_stream_, *ack, std::exchange(frames_, 0),
                         std::exchange(frame_bytes_, 0));
}

}  // namespace dunlin::replicator
