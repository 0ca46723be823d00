#include "services/replicator/simulation/sim_coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace dunlin::replicator::simulation {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Shares what its messages on the way need, so that it can be gone when they arrive.
class SimCoordinator::Client final : public Coordinator {
 public:
  Client(SimCoordinator& coordinator, ClientOptions options)
      : coordinator_(coordinator), shared_(std::make_shared<Shared>()) {
    shared_->options = std::move(options);
    coordinator_.clients_.push_back(this);
  }
  ~Client() override {
    Stop();
    std::erase(coordinator_.clients_, this);
  }

  void Stop() override { shared_->stopped = true; }

  void Start(Watcher watcher) override {
    shared_->watcher = std::move(watcher);
    Poll(coordinator_.world_, coordinator_, shared_);
  }

  void Elect(int64_t version, const GroupRecord& record, Done done) override {
    Call(true, std::move(done), [&c = coordinator_, version, record, s = shared_] {
      return c.Elect(version, record, s->options.member);
    });
  }
  void Update(int64_t version, const GroupRecord& record, Done done) override {
    if (shared_->options.faults.update_without_asking && shared_->lease_id != 0) {
      // Written nowhere: only this member believes it from now on.
      shared_->invented = record;
      GroupView view = Doctored(*shared_, coordinator_.view_);
      view.version = version + 1;
      done({.status = absl::OkStatus(), .view = view, .sent = shared_->options.clock()});
      return;
    }
    Call(false, std::move(done), [&c = coordinator_, version, record, id = shared_->lease_id] {
      return c.Update(version, record, id);
    });
  }
  void KeepAlive(Done done) override {
    Call(false, std::move(done),
         [&c = coordinator_, id = shared_->lease_id] { return c.KeepAlive(id); });
  }
  void Release(int64_t version, const GroupRecord& record, Done done) override {
    shared_->lease_id = 0;
    Call(false, std::move(done), [&c = coordinator_, version, record, s = shared_] {
      return c.Release(version, record, s->options.member);
    });
  }

  // Something changed: the client hears of it, if nothing is lost.
  void Tell() {
    if (shared_->watcher == nullptr) return;
    coordinator_.world_.Send(kPlace, shared_->options.place,
                             [s = shared_, view = coordinator_.view_] { Watched(s, view); });
  }

 private:
  struct Shared {
    ClientOptions options;
    Watcher watcher;
    uint64_t lease_id = 0;
    int64_t revision = 0;
    bool stopped = false;
    std::optional<GroupRecord> invented;
  };

  static GroupView Doctored(const Shared& shared, GroupView view) {
    if (!view.record.has_value()) return view;
    // The master keeps the true set; everybody else believes to be in it.
    if (shared.options.faults.in_sync_has_everyone &&
        view.record->master != shared.options.member) {
      view.record->in_sync.insert(shared.options.member);
    }
    if (shared.invented.has_value() && shared.invented->epoch == view.record->epoch) {
      view.record = shared.invented;
    }
    return view;
  }

  static void Watched(const std::shared_ptr<Shared>& s, const GroupView& view) {
    if (s->stopped) return;
    s->options.deliver([s, view] {
      if (s->stopped || view.revision <= s->revision) return;
      s->revision = view.revision;
      s->watcher(Doctored(*s, view));
    });
  }

  // Reads now and then, as a client does whose watch may have fallen silent.
  static void Poll(World& world, SimCoordinator& coordinator, const std::shared_ptr<Shared>& s) {
    if (s->stopped) return;
    world.Send(s->options.place, kPlace, [&world, &coordinator, s] {
      world.Send(kPlace, s->options.place, [s, view = coordinator.view_] { Watched(s, view); });
    });
    world.After(world.random().Between(milliseconds(200), milliseconds(2000)),
                [&world, &coordinator, s] { Poll(world, coordinator, s); });
  }

  template <typename Work>
  void Call(bool elects, Done done, Work work) {
    World& world = coordinator_.world_;
    const auto once = std::make_shared<Done>(std::move(done));
    const Instant sent = shared_->options.clock();
    const auto finish = [s = shared_, once, sent](Result result) {
      if (s->stopped) return;
      s->options.deliver([s, once, sent, result = std::move(result)]() mutable {
        if (s->stopped || *once == nullptr) return;
        result.sent = sent;
        std::exchange(*once, nullptr)(std::move(result));
      });
    };
    world.Send(
        shared_->options.place, kPlace,
        [&world, s = shared_, finish, work, elects, ttl = coordinator_.ttl_] {
          const Answer answer = work();
          world.Send(kPlace, s->options.place, [s, finish, answer, elects, ttl] {
            if (elects && answer.accepted) s->lease_id = answer.lease_id;
            finish({.status = answer.accepted ? absl::OkStatus() : absl::AbortedError("refused"),
                    .view = Doctored(*s, answer.view),
                    .sent = {},
                    .ttl = ttl});
          });
        });
    world.After(seconds(1), [finish] {
      finish({.status = absl::UnavailableError("no answer"), .view = {}, .sent = {}});
    });
  }

  SimCoordinator& coordinator_;
  const std::shared_ptr<Shared> shared_;
};

namespace {

std::string RosterText(const Roster& roster) {
  std::string text;
  for (const auto& [name, entry] : roster.entries) {
    text += text.empty() ? ", members " : " ";
    text += name;
    if (entry.seat != Seat::kVoter) text += entry.seat == Seat::kJoining ? "(joins)" : "(learns)";
  }
  return text;
}

}  // namespace

std::unique_ptr<Coordinator> SimCoordinator::Connect(ClientOptions options) {
  return std::make_unique<Client>(*this, std::move(options));
}

void SimCoordinator::Changed() {
  ++view_.revision;
  for (Client* client : clients_) client->Tell();
}

SimCoordinator::Answer SimCoordinator::Elect(int64_t version, const GroupRecord& record,
                                             const MemberName& member) {
  if (view_.lease.has_value() || version != view_.version) return {false, view_};
  if (view_.record.has_value() && !view_.record->roster.empty() &&
      !view_.record->roster.Voters().contains(member)) {
    world_.Fail(fmt::format("{}, who is no voter, is elected", member));
  }
  lease_id_ = ++next_lease_id_;
  view_.record = record;
  view_.version = view_.revision + 1;
  view_.lease = LeaseHolder{member, record.epoch};
  world_.Trace(fmt::format("coordinator: {} is elected in epoch {}{}", member, record.epoch.value(),
                           record.unclean_epoch == record.epoch ? ", uncleanly" : ""));
  lease_until_ = world_.now() + ttl_;
  ExpireAt(lease_id_, lease_until_);
  Changed();
  return {true, view_, lease_id_};
}

SimCoordinator::Answer SimCoordinator::Update(int64_t version, const GroupRecord& record,
                                              uint64_t lease_id) {
  if (lease_id == 0 || lease_id != lease_id_ || version != view_.version) return {false, view_};
  view_.record = record;
  view_.version = view_.revision + 1;
  std::string names;
  for (const MemberName& name : record.in_sync) names += name;
  world_.Trace(fmt::format("coordinator: in sync are {}{}", names, RosterText(record.roster)));
  Changed();
  return {true, view_};
}

SimCoordinator::Answer SimCoordinator::KeepAlive(uint64_t lease_id) {
  if (lease_id == 0 || lease_id != lease_id_) return {false, view_};
  lease_until_ = world_.now() + ttl_;
  return {true, view_};
}

SimCoordinator::Answer SimCoordinator::Release(int64_t version, const GroupRecord& record,
                                               const MemberName& member) {
  if (!view_.lease.has_value() || view_.lease->name != member || version != view_.version) {
    return {false, view_};
  }
  world_.Trace(fmt::format("coordinator: {} gives the lease up", member));
  view_.record = record;
  view_.version = view_.revision + 1;
  view_.lease.reset();
  lease_id_ = 0;
  Changed();
  return {true, view_};
}

void SimCoordinator::ExpireAt(uint64_t lease_id, Instant moment) {
  world_.After(moment - world_.now(), [this, lease_id] {
    if (lease_id != lease_id_) return;
    if (world_.now() < lease_until_) return ExpireAt(lease_id, lease_until_);
    world_.Trace(fmt::format("coordinator: the lease of {} is over", view_.lease->name));
    view_.lease.reset();
    lease_id_ = 0;
    Changed();
  });
}

}  // namespace dunlin::replicator::simulation
