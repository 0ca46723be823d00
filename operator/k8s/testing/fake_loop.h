// FakeLoop: a Transport and Scheduler in which nothing happens but by the test's hand.
//
// Calls wait until the test answers them; time moves when it says so. One thread.

#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "operator/k8s/json.h"
#include "operator/k8s/transport.h"

namespace dunlin::k8s {

class FakeLoop final : public Transport, public Scheduler {
 public:
  struct Call {
    CallId id = 0;
    HttpRequest request;
    std::unique_ptr<HttpHandler> handler;
    bool head_sent = false;
  };

  // ---- Transport, Scheduler ----

  CallId Start(HttpRequest request, std::unique_ptr<HttpHandler> handler) override;
  void Cancel(CallId call) override;
  Timestamp Now() const override { return now_; }
  void Post(Task task) override { tasks_.push_back(std::move(task)); }
  void After(std::chrono::milliseconds delay, Task task) override;

  // ---- the test's ----

  // What was posted, until there is no more.
  void RunTasks();
  // Lets time pass, timer by timer.
  void Advance(std::chrono::milliseconds time);
  // Calls that wait, oldest first. Runs what was posted before.
  size_t Waiting();
  // The oldest; REQUIRES: there is one. "GET /path?query".
  std::string Oldest();
  std::string OldestBody();

  // These are for the oldest call. A whole answer:
  void Answer(int code, const Json& body, std::optional<int> retry_after_seconds = std::nullopt);
  // The parts of a stream; false: the handler wants no more, and has been told so.
  bool Send(std::string_view bytes);
  void End();
  void Break(absl::Status why, bool sent = true);

  // All calls end as cancelled, all timers go: as when a loop stops.
  void StopAll();

 private:
  Call TakeOldest();
  void Finish(Call call, const HttpEnd& end);

  Timestamp now_ = FromUnixMillis(1'700'000'000'000);
  CallId next_ = 1;
  std::deque<Call> calls_;
  std::deque<Task> tasks_;
  std::multimap<Timestamp, Task> timers_;
};

}  // namespace dunlin::k8s
