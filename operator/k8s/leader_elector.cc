#include "operator/k8s/leader_elector.h"

#include <fmt/format.h>

#include <utility>

#include "absl/status/status.h"

#include "operator/k8s/api_call.h"
#include "operator/k8s/rfc3339.h"
#include "services/base/check.h"
#include "services/base/log.h"
#include "services/base/strings.h"

namespace dunlin::k8s {
namespace {

const ResourceType& LeaseType() {
  static const ResourceType type{.group = "coordination.k8s.io",
                                 .version = "v1",
                                 .plural = "leases",
                                 .kind = "Lease",
                                 .namespaced = true};
  return type;
}

ClientOptions OptionsOf(const LeaderElectorOptions& options) {
  ClientOptions client;
  // Two tries fit in before the deadline.
  client.attempt_timeout = options.renew_deadline / 2;
  client.call_timeout = client.attempt_timeout;
  client.retry.attempts_max = 1;
  return client;
}

}  // namespace

LeaderElector::LeaderElector(Transport& transport, Scheduler& scheduler,
                             LeaderElectorOptions options)
    : scheduler_(scheduler),
      options_(std::move(options)),
      client_(transport, scheduler, OptionsOf(options_)) {
  CHECK(options_.retry_period < options_.renew_deadline);
  CHECK(options_.renew_deadline < options_.lease_duration);
  CHECK(!options_.identity.empty());
}

void LeaderElector::Start() {
  scheduler_.Post([this] { Tick(); });
}

bool LeaderElector::IsLeader() const { return scheduler_.Now() < leads_until_.load(); }

void LeaderElector::Tick() {
  if (state_ == State::kLost || state_ == State::kReleased) return;
  scheduler_.After(options_.retry_period, [this] { Tick(); });
  CheckDeadline();
  if (state_ == State::kLost || busy_) return;
  busy_ = true;
  client_.Start(Get(LeaseType(), options_.lease),
                [this](Client::Answer lease) { OnRead(std::move(lease)); });
}

void LeaderElector::OnRead(Client::Answer lease) {
  busy_ = false;
  if (state_ == State::kLost || state_ == State::kReleased) return;
  if (absl::IsNotFound(lease.status())) {
    lease_ = nullptr;
    Json made = NewObject(LeaseType(), options_.lease);
    made["spec"] = NewSpec(nullptr);
    Write(Create(LeaseType(), made));
    return;
  }
  if (!lease.ok()) {
    if (lease.status().code() == absl::StatusCode::kCancelled) return;
    log::Warning("lease {}: {}", options_.lease.ToString(), FromAbsl(lease.status().message()));
    return;
  }
  Observe(*lease);
  lease_ = *std::move(lease);
  if (!MayTake(lease_)) return;
  Json taken = lease_;  // with its resourceVersion: somebody else's change in between is a conflict
  taken["spec"] = NewSpec(&lease_);
  Write(Replace(LeaseType(), taken));
}

void LeaderElector::Observe(const Json& lease) {
  const std::string_view version = ResourceVersionOf(lease);
  if (version != seen_version_) {
    seen_version_ = version;
    seen_at_ = scheduler_.Now();
  }
  const std::string_view holder = StringAt(lease, {"spec", "holderIdentity"});
  if (holder != seen_holder_) {
    seen_holder_ = holder;
    if (!holder.empty() && holder != options_.identity && options_.on_other != nullptr) {
      options_.on_other(holder);
    }
  }
  // Taken while we slept: by then our own time is up, too, but this says it sooner.
  if (state_ == State::kLeading && holder != options_.identity) Lose();
}

bool LeaderElector::MayTake(const Json& lease) const {
  if (state_ == State::kLost) return false;
  const std::string_view holder = StringAt(lease, {"spec", "holderIdentity"});
  if (holder.empty() || holder == options_.identity) return true;
  const std::chrono::seconds duration(
      IntAt(lease, {"spec", "leaseDurationSeconds"},
            std::chrono::ceil<std::chrono::seconds>(options_.lease_duration).count()));
  return scheduler_.Now() - seen_at_ >= duration;
}

Json LeaderElector::NewSpec(const Json* before) const {
  const Timestamp now = scheduler_.Now();
  const bool ours =
      before != nullptr && StringAt(*before, {"spec", "holderIdentity"}) == options_.identity;
  Json spec = {{"holderIdentity", options_.identity},
               {"leaseDurationSeconds",
                std::chrono::ceil<std::chrono::seconds>(options_.lease_duration).count()},
               {"acquireTime", FormatMicroTime(now)},
               {"renewTime", FormatMicroTime(now)},
               {"leaseTransitions", 0}};
  if (before != nullptr) {
    const int64_t transitions = IntAt(*before, {"spec", "leaseTransitions"});
    spec["leaseTransitions"] = ours ? transitions : transitions + 1;
    const std::string_view since = StringAt(*before, {"spec", "acquireTime"});
    if (ours && !since.empty()) spec["acquireTime"] = since;
  }
  return spec;
}

void LeaderElector::Write(ApiCall call) {
  busy_ = true;
  client_.Start(std::move(call), [this, sent_at = scheduler_.Now()](Client::Answer answer) {
    OnWritten(sent_at, answer);
  });
}

void LeaderElector::OnWritten(Timestamp sent_at, const Client::Answer& answer) {
  busy_ = false;
  if (state_ == State::kLost || state_ == State::kReleased) return;
  if (!answer.ok()) {
    // A conflict is somebody who was quicker; the next tick reads who.
    if (answer.status().code() != absl::StatusCode::kAborted &&
        answer.status().code() != absl::StatusCode::kAlreadyExists &&
        answer.status().code() != absl::StatusCode::kCancelled) {
      log::Warning("lease {}: {}", options_.lease.ToString(), FromAbsl(answer.status().message()));
    }
    return;
  }
  Observe(*answer);
  lease_ = *answer;
  // The answer may have taken its time: what was won may be over by now.
  CheckDeadline();
  if (state_ == State::kLost) return;
  leads_until_ = sent_at + options_.renew_deadline;
  if (state_ == State::kFollowing && IsLeader()) {
    state_ = State::kLeading;
    log::Info("{} leads by lease {}", options_.identity, options_.lease.ToString());
    if (options_.on_started != nullptr) options_.on_started();
  }
}

void LeaderElector::CheckDeadline() {
  if (state_ == State::kLeading && !IsLeader()) Lose();
}

void LeaderElector::Lose() {
  state_ = State::kLost;
  leads_until_ = Timestamp{};
  log::Error("{} no longer leads: lease {} could not be renewed in time, or is {}'s",
             options_.identity, options_.lease.ToString(), seen_holder_);
  if (options_.on_lost != nullptr) options_.on_lost();
}

void LeaderElector::Release(std::function<void()> done) {
  leads_until_ = Timestamp{};
  scheduler_.Post([this, done = std::move(done)] {
    const bool ours = state_ == State::kLeading;
    state_ = State::kReleased;
    if (!ours) {
      done();
      return;
    }
    Json released = lease_;
    released["spec"]["holderIdentity"] = "";
    released["spec"]["leaseDurationSeconds"] = 1;
    released["spec"]["renewTime"] = FormatMicroTime(scheduler_.Now());
    client_.Start(Replace(LeaseType(), released), [done](const Client::Answer& answer) {
      if (!answer.ok()) log::Info("lease not given back: {}", FromAbsl(answer.status().message()));
      done();
    });
  });
}

}  // namespace dunlin::k8s
