#include "operator/k8s/testing/fake_loop.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"

#include "services/base/check.h"

namespace dunlin::k8s {

CallId FakeLoop::Start(HttpRequest request, std::unique_ptr<HttpHandler> handler) {
  calls_.push_back({.id = next_,
                    .request = std::move(request),
                    .handler = std::move(handler),
                    .head_sent = false});
  return next_++;
}

void FakeLoop::Cancel(CallId call) {
  Post([this, call] {
    const auto found = std::find_if(calls_.begin(), calls_.end(),
                                    [call](const Call& other) { return other.id == call; });
    if (found == calls_.end()) return;
    Call cancelled = std::move(*found);
    calls_.erase(found);
    Finish(std::move(cancelled), {.status = absl::CancelledError("cancelled"), .sent = true});
  });
}

void FakeLoop::After(std::chrono::milliseconds delay, Task task) {
  timers_.emplace(now_ + delay, std::move(task));
}

void FakeLoop::RunTasks() {
  while (!tasks_.empty()) {
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    task();
  }
}

void FakeLoop::Advance(std::chrono::milliseconds time) {
  const Timestamp end = now_ + time;
  RunTasks();
  while (!timers_.empty() && timers_.begin()->first <= end) {
    auto timer = timers_.extract(timers_.begin());
    now_ = std::max(now_, timer.key());
    timer.mapped()();
    RunTasks();
  }
  now_ = end;
}

size_t FakeLoop::Waiting() {
  RunTasks();
  return calls_.size();
}

std::string FakeLoop::Oldest() {
  CHECK(Waiting() > 0);
  return calls_.front().request.method + " " + calls_.front().request.path;
}

std::string FakeLoop::OldestBody() {
  CHECK(Waiting() > 0);
  return calls_.front().request.body;
}

void FakeLoop::Answer(int code, const Json& body, std::optional<int> retry_after_seconds) {
  Call call = TakeOldest();
  HttpHead head{.code = code, .retry_after = std::nullopt};
  if (retry_after_seconds.has_value()) {
    head.retry_after = std::chrono::seconds(*retry_after_seconds);
  }
  call.handler->OnHead(head);
  call.head_sent = true;
  if (call.handler->OnBody(PrintJson(body))) {
    Finish(std::move(call), {.status = absl::OkStatus(), .sent = true});
  } else {
    Finish(std::move(call), {.status = absl::CancelledError("given up"), .sent = true});
  }
}

bool FakeLoop::Send(std::string_view bytes) {
  CHECK(Waiting() > 0);
  Call& call = calls_.front();
  if (!std::exchange(call.head_sent, true)) call.handler->OnHead({.code = 200, .retry_after = {}});
  if (call.handler->OnBody(bytes)) return true;
  Finish(TakeOldest(), {.status = absl::CancelledError("given up"), .sent = true});
  return false;
}

void FakeLoop::End() {
  Call call = TakeOldest();
  if (!call.head_sent) call.handler->OnHead({.code = 200, .retry_after = {}});
  Finish(std::move(call), {.status = absl::OkStatus(), .sent = true});
}

void FakeLoop::Break(absl::Status why, bool sent) {
  Finish(TakeOldest(), {.status = std::move(why), .sent = sent});
}

void FakeLoop::StopAll() {
  timers_.clear();
  tasks_.clear();
  while (!calls_.empty()) Break(absl::CancelledError("the loop stops"));
}

FakeLoop::Call FakeLoop::TakeOldest() {
  CHECK(Waiting() > 0);
  Call call = std::move(calls_.front());
  calls_.pop_front();
  return call;
}

void FakeLoop::Finish(Call call, const HttpEnd& end) {
  call.handler->OnDone(end);
  RunTasks();
}

}  // namespace dunlin::k8s
