#include "operator/k8s/client.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "absl/status/status.h"

#include "operator/k8s/api_error.h"
#include "services/base/check.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::k8s {

// A call from its start to its answer, over all attempts. Whoever drops it unanswered (a loop that
// stops, with its timers) answers it by that.
class Client::Flight {
 public:
  Flight(ApiCall call, Done done, Timestamp deadline)
      : call_(std::move(call)), done_(std::move(done)), deadline_(deadline) {}
  ~Flight() {
    if (done_ != nullptr) Answer(absl::CancelledError("the client was stopped"));
  }

  const ApiCall& Request() const { return call_; }
  Timestamp Deadline() const { return deadline_; }
  int AttemptNumber() const { return attempt_; }
  void NextAttempt() { ++attempt_; }

  void Answer(Client::Answer answer) { std::exchange(done_, nullptr)(std::move(answer)); }

 private:
  const ApiCall call_;
  Done done_;
  const Timestamp deadline_;
  int attempt_ = 1;
};

// Gathers the answer of one attempt.
class Client::Collector final : public HttpHandler {
 public:
  Collector(Client& client, std::shared_ptr<Flight> flight)
      : client_(client), flight_(std::move(flight)) {}

  void OnHead(const HttpHead& head) override { head_ = head; }
  bool OnBody(std::string_view part) override {
    if (body_.size() + part.size() > kAnswerBytesMax) {
      too_large_ = true;
      return false;
    }
    body_ += part;
    return true;
  }
  void OnDone(const HttpEnd& end) override {
    HttpEnd ended = end;
    if (too_large_) {
      ended.status =
          absl::OutOfRangeError(fmt::format("the answer is larger than {} bytes: use a "
                                            "selector or smaller pages",
                                            kAnswerBytesMax));
    }
    client_.Land(std::move(flight_), head_, ended, std::move(body_));
  }

 private:
  Client& client_;
  std::shared_ptr<Flight> flight_;
  HttpHead head_;
  std::string body_;
  bool too_large_ = false;
};

Client::Client(Transport& transport, Scheduler& scheduler, ClientOptions options)
    : transport_(transport), scheduler_(scheduler), options_(options), random_(options.seed) {}

void Client::Start(ApiCall call, Done done) {
  Launch(std::make_shared<Flight>(std::move(call), std::move(done),
                                  scheduler_.Now() + options_.call_timeout));
}

void Client::Launch(std::shared_ptr<Flight> flight) {
  const ApiCall& call = flight->Request();
  HttpRequest request{.method = call.method,
                      .path = call.path,
                      .content_type = call.content_type,
                      .body = call.body,
                      .timeout = options_.attempt_timeout};
  transport_.Start(std::move(request), std::make_unique<Collector>(*this, std::move(flight)));
}

void Client::Land(std::shared_ptr<Flight> flight, const HttpHead& head, const HttpEnd& end,
                  std::string body) {
  constexpr int kOk = 200;
  constexpr int kRedirect = 300;
  if (end.status.ok() && head.code >= kOk && head.code < kRedirect) {
    flight->Answer(ParseJson(body));
    return;
  }
  const absl::Status error = end.status.ok() ? StatusFromAnswer(head.code, body) : end.status;
  const Attempt attempt{.number = flight->AttemptNumber(),
                        .idempotent = flight->Request().idempotent,
                        .head = end.status.ok() ? head : HttpHead{},
                        .end = end};
  const auto delay = RetryDelay(options_.retry, attempt, Jitter());
  if (!delay.has_value() || scheduler_.Now() + *delay > flight->Deadline()) {
    flight->Answer(error);
    return;
  }
  flight->NextAttempt();
  scheduler_.After(*delay,
                   [this, flight = std::move(flight)]() mutable { Launch(std::move(flight)); });
}

Client::Answer Client::Run(ApiCall call) {
  struct Waiter {
    Mutex mutex;
    CondVar answered;
    std::optional<Answer> answer ABSL_GUARDED_BY(mutex);
  };
  const auto waiter = std::make_shared<Waiter>();
  Start(std::move(call), [waiter](Answer answer) {
    MutexLock lock(waiter->mutex);
    waiter->answer = std::move(answer);
    waiter->answered.Signal();
  });
  MutexLock lock(waiter->mutex);
  while (!waiter->answer.has_value()) waiter->answered.Wait(waiter->mutex);
  return *std::move(waiter->answer);
}

absl::StatusOr<Client::ListAnswer> Client::ListAll(const ResourceType& type,
                                                   const ListOptions& options) {
  constexpr int kBeginningsMax = 3;
  ListAnswer all;
  std::string continue_token;
  for (int beginnings = 1;;) {
    Answer page = Run(List(type, options, continue_token));
    if (IsExpired(page.status()) && !continue_token.empty() && beginnings < kBeginningsMax) {
      ++beginnings;
      all = {};
      continue_token.clear();
      continue;
    }
    RETURN_IF_ERROR(page.status());
    ASSIGN_OR_RETURN(std::vector<Json> items, TakeItems(*page));
    for (Json& item : items) all.items.push_back(std::move(item));
    all.resource_version = ResourceVersionOf(*page);
    continue_token = StringAt(*page, {"metadata", "continue"});
    if (continue_token.empty()) return all;
  }
}

double Client::Jitter() {
  MutexLock lock(mutex_);
  return std::uniform_real_distribution<double>(0, 1)(random_);
}

absl::StatusOr<std::vector<Json>> TakeItems(Json& page) {
  const std::string_view kind = StringAt(page, {"kind"});
  if (!kind.ends_with("List") || !page.contains("items")) {
    return absl::InvalidArgumentError(fmt::format("'{}' is not a list", kind));
  }
  const std::string item_kind(kind.substr(0, kind.size() - std::string_view("List").size()));
  std::vector<Json> items;
  if (page["items"].is_array()) {  // null when there are none
    for (Json& item : page["items"]) {
      if (!item.is_object()) return absl::InvalidArgumentError("a list holds what is no object");
      if (!item.contains("apiVersion")) item["apiVersion"] = StringAt(page, {"apiVersion"});
      if (!item.contains("kind")) item["kind"] = item_kind;
      items.push_back(std::move(item));
    }
  }
  return items;
}

}  // namespace dunlin::k8s
