#include "operator/k8s/reflector.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"

#include "operator/k8s/api_call.h"
#include "operator/k8s/api_error.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::k8s {
namespace {

constexpr int kOk = 200;
constexpr size_t kErrorBytesMax = 64 << 10;
// A watch that lasted this long was a good one, even if nothing happened.
constexpr std::chrono::seconds kGoodWatch{5};

}  // namespace

// One watch's answer.
class Reflector::Stream final : public HttpHandler {
 public:
  explicit Stream(Reflector& reflector) : reflector_(reflector) {}

  void OnHead(const HttpHead& head) override { head_ = head; }
  bool OnBody(std::string_view part) override {
    if (head_.code == kOk) return reflector_.OnWatchBytes(part);
    error_ += part.substr(0, kErrorBytesMax - error_.size());
    return true;
  }
  void OnDone(const HttpEnd& end) override {
    if (end.status.ok() && head_.code != kOk) {
      reflector_.OnWatchEnd(StatusFromAnswer(head_.code, error_),
                            head_.retry_after.value_or(std::chrono::seconds(0)));
    } else {
      reflector_.OnWatchEnd(end.status, std::chrono::milliseconds(0));
    }
  }

 private:
  Reflector& reflector_;
  HttpHead head_;
  std::string error_;
};

Reflector::Reflector(Client& client, Transport& transport, Scheduler& scheduler, Store& store,
                     ReflectorOptions options)
    : client_(client),
      transport_(transport),
      scheduler_(scheduler),
      store_(store),
      options_(std::move(options)),
      random_(options_.seed) {}

void Reflector::Start() { Go(Next::kList, std::chrono::milliseconds(0)); }

Reflector::State Reflector::CurrentState() const {
  MutexLock lock(mutex_);
  return state_;
}

// ---- list ----

void Reflector::BeginList() {
  {
    MutexLock lock(mutex_);
    ++state_.lists;
  }
  listed_.clear();
  ReadPage("");
}

void Reflector::ReadPage(const std::string& continue_token) {
  client_.Start(
      List(options_.type, options_.which, continue_token),
      [this, continue_token](Client::Answer page) { OnPage(continue_token, std::move(page)); });
}

void Reflector::OnPage(const std::string& continue_token, Client::Answer page) {
  if (!page.ok()) {
    // An expired list (410 at a later page) begins again, too.
    Fail(page.status(), Next::kList, std::chrono::milliseconds(0));
    return;
  }
  absl::StatusOr<std::vector<Json>> items = TakeItems(*page);
  if (!items.ok()) {
    Fail(items.status(), Next::kList, std::chrono::milliseconds(0));
    return;
  }
  for (Json& item : *items) listed_.push_back(std::move(item));
  const std::string next(StringAt(*page, {"metadata", "continue"}));
  if (!next.empty() && next != continue_token) {
    ReadPage(next);
    return;
  }
  resource_version_ = ResourceVersionOf(*page);
  store_.Replace(std::exchange(listed_, {}));
  BeginWatch();
}

// ---- watch ----

void Reflector::BeginWatch() {
  {
    MutexLock lock(mutex_);
    ++state_.watches;
  }
  ++watch_;
  decoder_ = {};
  stream_error_ = absl::OkStatus();
  idle_ = false;
  watch_begun_at_ = heard_at_ = scheduler_.Now();
  const double seconds = static_cast<double>(options_.watch_time.count()) * (1 + Random());
  const ApiCall call =
      Watch(options_.type, options_.which,
            {.resource_version = resource_version_, .timeout_seconds = static_cast<int>(seconds)});
  watch_call_ = transport_.Start({.method = call.method,
                                  .path = call.path,
                                  .content_type = "",
                                  .body = "",
                                  .timeout = std::chrono::milliseconds(0)},
                                 std::make_unique<Stream>(*this));
  scheduler_.After(options_.idle_timeout, [this, watch = watch_] { CheckIdle(watch); });
}

bool Reflector::OnWatchBytes(std::string_view part) {
  heard_at_ = scheduler_.Now();
  std::vector<WatchEvent> events;
  stream_error_ = decoder_.Add(part, events);
  // What was whole before the error is taken.
  for (WatchEvent& event : events) {
    if (absl::Status status = Take(std::move(event)); !status.ok()) {
      stream_error_ = std::move(status);
      break;
    }
  }
  return stream_error_.ok();
}

absl::Status Reflector::Take(WatchEvent event) {
  if (event.kind == WatchEvent::Kind::kError) return StatusFromObject(0, event.object);
  std::string resource_version(ResourceVersionOf(event.object));
  if (resource_version.empty()) {
    return absl::InvalidArgumentError("an event of a watch has no resourceVersion");
  }
  resource_version_ = std::move(resource_version);
  failures_ = 0;
  {
    MutexLock lock(mutex_);
    state_.error.clear();
  }
  if (event.kind == WatchEvent::Kind::kDeleted) {
    store_.Remove(KeyOf(event.object));
  } else if (event.kind != WatchEvent::Kind::kBookmark) {
    store_.Put(std::move(event.object));
  }
  return absl::OkStatus();
}

void Reflector::OnWatchEnd(const absl::Status& status, std::chrono::milliseconds at_least) {
  ++watch_;  // so that its idle timer is of no meaning
  watch_call_ = 0;
  const absl::Status why = stream_error_.ok() ? status : stream_error_;
  if (IsExpired(why)) {
    {
      MutexLock lock(mutex_);
      ++state_.expirations;
    }
    if (failures_ == 0) {
      ++failures_;
      Go(Next::kList, std::chrono::milliseconds(0));
    } else {
      Fail(why, Next::kList, at_least);
    }
    return;
  }
  if (idle_) {
    MutexLock lock(mutex_);
    ++state_.idle_ends;
  }
  const bool good = scheduler_.Now() - watch_begun_at_ >= kGoodWatch;
  if (good) failures_ = 0;
  if (idle_ || (why.ok() && (good || failures_ == 0))) {
    if (!good) ++failures_;  // a server that ends each at once is not asked in a circle
    Go(Next::kWatch, std::chrono::milliseconds(0));
    return;
  }
  Fail(why.ok() ? absl::UnavailableError("the watch was ended at once") : why, Next::kWatch,
       at_least);
}

void Reflector::CheckIdle(uint64_t watch) {
  if (watch != watch_) return;
  const auto silent = scheduler_.Now() - heard_at_;
  if (silent < options_.idle_timeout) {
    scheduler_.After(options_.idle_timeout - silent, [this, watch] { CheckIdle(watch); });
    return;
  }
  idle_ = true;
  log::Info("nothing heard of {} for {} s: the watch begins again", options_.type.plural,
            std::chrono::duration_cast<std::chrono::seconds>(silent).count());
  transport_.Cancel(watch_call_);
}

// ---- both ----

void Reflector::Fail(const absl::Status& why, Next next, std::chrono::milliseconds at_least) {
  if (why.code() == absl::StatusCode::kCancelled) return;  // the loop stops
  ++failures_;
  {
    MutexLock lock(mutex_);
    state_.error = FromAbsl(why.message());
  }
  const std::chrono::milliseconds delay =
      std::max(options_.backoff.DelayAfter(failures_, Random()), at_least);
  log::Warning("{}: {}; again in {} ms", options_.type.plural, FromAbsl(why.message()),
               delay.count());
  Go(next, delay);
}

void Reflector::Go(Next next, std::chrono::milliseconds delay) {
  auto task = [this, next] { next == Next::kList ? BeginList() : BeginWatch(); };
  if (delay.count() == 0) {
    scheduler_.Post(task);
  } else {
    scheduler_.After(delay, task);
  }
}

double Reflector::Random() { return std::uniform_real_distribution<double>(0, 1)(random_); }

}  // namespace dunlin::k8s
