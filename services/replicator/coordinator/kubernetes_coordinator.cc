#include "services/replicator/coordinator/kubernetes_coordinator.h"

#include <fmt/format.h>

#include <random>
#include <utility>

#include "absl/status/status.h"

#include "operator/k8s/api_call.h"
#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/base/version.h"

namespace dunlin::replicator {
namespace {

// Then the result is unknown: the caller tries again, or not.
constexpr int kMaxConflicts = 8;

k8s::ClientOptions ClientOptionsOf(const KubernetesCoordinator::Options& options) {
  k8s::ClientOptions client;
  client.attempt_timeout = options.call_timeout;
  client.call_timeout = options.call_timeout;
  client.retry.attempts_max = 1;  // a member tries again itself, with what it knows by then
  return client;
}

k8s::ReflectorOptions ReflectorOptionsOf(const KubernetesCoordinator::Options& options) {
  k8s::ReflectorOptions reflector;
  reflector.type = LeaseType();
  reflector.which.space = options.lease.space;
  reflector.which.field_selector = "metadata.name=" + options.lease.name;
  reflector.backoff = {.first = options.retry, .max = 10 * options.retry};
  reflector.idle_timeout = std::chrono::seconds(30);
  reflector.seed = std::random_device()();
  return reflector;
}

std::string NewGrant() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

}  // namespace

KubernetesCoordinator::KubernetesCoordinator(Options options, const Clock& clock, InstantSource now)
    : options_(std::move(options)),
      clock_(clock),
      now_(std::move(now)),
      loop_(options_.server, "dunlin-replicator/" + std::string(kVersion), clock),
      client_(loop_, loop_, ClientOptionsOf(options_)),
      reflector_(client_, loop_, loop_, store_, ReflectorOptionsOf(options_)) {
  store_.AddHandler([this](const k8s::Store::Change& change) {
    Adopt(change.after == nullptr ? k8s::Json() : *change.after);
  });
}

KubernetesCoordinator::~KubernetesCoordinator() { Stop(); }

void KubernetesCoordinator::Stop() { loop_.Stop(); }

void KubernetesCoordinator::Start(Watcher watcher) {
  loop_.Post([this, watcher = std::move(watcher)]() mutable {
    watcher_ = std::move(watcher);
    Read();
    reflector_.Start();
  });
}

// ---- what is there ----

// The first look: a watch says nothing of what is not there.
void KubernetesCoordinator::Read() {
  client_.Start(k8s::Get(LeaseType(), options_.lease), [this](k8s::Client::Answer answer) {
    if (answer.ok() || absl::IsNotFound(answer.status())) {
      if (!std::exchange(reachable_, true)) log::Info("the API server answers");
      Adopt(answer.ok() ? *std::move(answer) : k8s::Json());
      return;
    }
    if (absl::IsCancelled(answer.status())) return;  // Stop
    if (std::exchange(reachable_, false)) {
      log::Warning("Lease {} cannot be read: {}", options_.lease.ToString(),
                   FromAbsl(answer.status().message()));
    }
    loop_.After(options_.retry, [this] { Read(); });
  });
}

void KubernetesCoordinator::Adopt(k8s::Json object) {
  absl::StatusOr<LeaseObject> read = LeaseObject::Read(object);
  if (!read.ok()) {
    // Then this member does nothing but say so.
    log::Error("{}", FromAbsl(read.status().message()));
    present_.reset();
    object_ = std::move(object);
    return;
  }
  const bool same =
      present_.has_value() && k8s::ResourceVersionOf(object_) == k8s::ResourceVersionOf(object);
  // A watch may be behind what we have written.
  const bool older = present_.has_value() && !object.is_null() && read->writes < present_->writes;
  if (same || older) return;
  object_ = std::move(object);
  present_ = *std::move(read);
  seen_at_ = now_();
  ++sighting_;
  if (present_->holder.has_value()) {
    loop_.After(present_->duration + std::chrono::milliseconds(1),
                [this, sighting = sighting_] { CheckExpiry(sighting); });
  }
  Tell();
}

bool KubernetesCoordinator::IsOver() const { return now_() >= seen_at_ + present_->duration; }

void KubernetesCoordinator::CheckExpiry(uint64_t sighting) {
  if (sighting != sighting_ || !present_.has_value()) return;
  if (!IsOver()) {  // the timer's clock and ours differ by a hair
    loop_.After(std::chrono::milliseconds(1), [this, sighting] { CheckExpiry(sighting); });
    return;
  }
  Tell();
}

void KubernetesCoordinator::Tell() {
  GroupView view{.revision = told_.has_value() ? told_->revision : 1,
                 .version = present_->version,
                 .record = present_->record,
                 .lease = IsOver() ? std::nullopt : present_->holder};
  if (view == told_) return;
  if (told_.has_value()) ++view.revision;
  told_ = view;
  if (watcher_ != nullptr) watcher_(view);
}

// ---- changes ----

absl::Status KubernetesCoordinator::CheckVersion(const LeaseObject& present,
                                                 int64_t version) const {
  if (present.version == version) return absl::OkStatus();
  return absl::AbortedError(
      fmt::format("the record is at version {}, not {}", present.version, version));
}

absl::Status KubernetesCoordinator::CheckOurs(const LeaseObject& present) const {
  if (grant_.empty() || present.grant != grant_) {
    return absl::AbortedError("there is no lease of this member");
  }
  if (now_() >= held_until_) return absl::AbortedError("the lease is over");
  return absl::OkStatus();
}

void KubernetesCoordinator::Make(std::shared_ptr<Change> change) {
  const Instant sent = now_();
  if (!present_.has_value()) {
    return change->done({.status = absl::UnavailableError("nothing is known of the Lease yet"),
                         .view = {},
                         .sent = sent});
  }
  Tell();  // time may have ended the lease
  if (absl::Status refused = change->check(*present_); !refused.ok()) {
    return change->done({.status = std::move(refused), .view = told_, .sent = sent});
  }
  const bool is_new = object_.is_null();
  k8s::Json object = is_new ? k8s::NewObject(LeaseType(), options_.lease) : object_;
  BeginWrite(object, clock_.Now());
  change->edit(object);
  k8s::ApiCall call = is_new ? k8s::Create(LeaseType(), object) : k8s::Replace(LeaseType(), object);
  client_.Start(std::move(call),
                [this, change = std::move(change), sent](k8s::Client::Answer answer) mutable {
                  const absl::Status written = answer.status();
                  if (written.ok()) Adopt(*std::move(answer));
                  OnWritten(change, sent, written);
                });
}

void KubernetesCoordinator::OnWritten(const std::shared_ptr<Change>& change, Instant sent,
                                      const absl::Status& refused) {
  if (refused.ok()) {
    Result result{.status = absl::OkStatus(), .view = told_, .sent = sent};
    problem_.clear();
    change->on_written(result);
    return change->done(std::move(result));
  }
  const bool overtaken =
      absl::IsAborted(refused) || absl::IsAlreadyExists(refused) || absl::IsNotFound(refused);
  if (overtaken && ++change->conflicts <= kMaxConflicts) return ReadAgainAndMake(change, sent);
  if (!absl::IsCancelled(refused) && FromAbsl(refused.message()) != problem_) {
    problem_ = FromAbsl(refused.message());
    log::Warning("Lease {} cannot be written: {}", options_.lease.ToString(), problem_);
  }
  change->done({.status = absl::UnavailableError(refused.message()), .view = {}, .sent = sent});
}

void KubernetesCoordinator::ReadAgainAndMake(std::shared_ptr<Change> change, Instant sent) {
  client_.Start(k8s::Get(LeaseType(), options_.lease), [this, change = std::move(change),
                                                        sent](k8s::Client::Answer answer) mutable {
    if (!answer.ok() && !absl::IsNotFound(answer.status())) {
      return change->done(
          {.status = absl::UnavailableError(answer.status().message()), .view = {}, .sent = sent});
    }
    Adopt(answer.ok() ? *std::move(answer) : k8s::Json());
    Make(std::move(change));
  });
}

void KubernetesCoordinator::Elect(int64_t version, const GroupRecord& record, Done done) {
  auto change = std::make_shared<Change>();
  const std::string grant = NewGrant();
  change->check = [this, version](const LeaseObject& present) {
    if (told_->lease.has_value()) {
      return absl::AbortedError("the lease is held by " + told_->lease->name);
    }
    return CheckVersion(present, version);
  };
  change->edit = [this, record, grant](k8s::Json& object) {
    WriteRecord(object, record);
    WriteGrant(object, {record.master, record.epoch}, grant, options_.ttl, clock_.Now());
  };
  change->on_written = [this, grant](Result& result) {
    grant_ = grant;
    held_until_ = result.sent + options_.ttl;
    result.ttl = options_.ttl;
  };
  change->done = std::move(done);
  loop_.Post([this, change = std::move(change)]() mutable { Make(std::move(change)); });
}

void KubernetesCoordinator::Update(int64_t version, const GroupRecord& record, Done done) {
  auto change = std::make_shared<Change>();
  change->check = [this, version](const LeaseObject& present) {
    const absl::Status ours = CheckOurs(present);
    return ours.ok() ? CheckVersion(present, version) : ours;
  };
  change->edit = [record](k8s::Json& object) { WriteRecord(object, record); };
  change->on_written = [](Result&) {};
  change->done = std::move(done);
  loop_.Post([this, change = std::move(change)]() mutable { Make(std::move(change)); });
}

void KubernetesCoordinator::KeepAlive(Done done) {
  auto change = std::make_shared<Change>();
  change->check = [this](const LeaseObject& present) { return CheckOurs(present); };
  change->edit = [](k8s::Json&) {};
  change->on_written = [this](Result& result) {
    held_until_ = result.sent + options_.ttl;
    result.ttl = options_.ttl;
  };
  change->done = std::move(done);
  loop_.Post([this, change = std::move(change)]() mutable { Make(std::move(change)); });
}

void KubernetesCoordinator::Release(int64_t version, const GroupRecord& record, Done done) {
  auto change = std::make_shared<Change>();
  change->check = [this, version](const LeaseObject& present) {
    if (!told_->lease.has_value() || told_->lease->name != options_.member) {
      return absl::AbortedError("the lease is not ours");
    }
    return CheckVersion(present, version);
  };
  change->edit = [record](k8s::Json& object) {
    WriteRecord(object, record);
    EraseGrant(object);
  };
  change->on_written = [](Result&) {};
  change->done = std::move(done);
  loop_.Post([this, change = std::move(change)]() mutable {
    grant_.clear();
    Make(std::move(change));
  });
}

}  // namespace dunlin::replicator
