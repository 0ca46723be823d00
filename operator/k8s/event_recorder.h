// EventRecorder: tells people what was done to an object and why, as events.k8s.io/v1 Events.
//
// The same event again within ten minutes counts up the one there is. An object that has very many
// different ones gets some of them (a burst of 25, then one in five minutes). Best effort: nothing
// waits for it, and an event that the API server does not take is dropped with a line in the log.
// Bounded: kObjectsMax objects are remembered, the longest silent are forgotten first.
//
// Thread-safe. Stop the loop first, then destroy this.

#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "operator/k8s/client.h"
#include "operator/k8s/json.h"
#include "operator/k8s/transport.h"
#include "services/base/mutex.h"

namespace dunlin::k8s {

enum class EventType { kNormal, kWarning };

struct Event {
  EventType type = EventType::kNormal;
  std::string reason;  // why, CamelCase: "SwitchedOver"
  std::string action;  // what was done, CamelCase: "Switchover"
  std::string note;    // for people; cut at 1 kB
};

class EventRecorder {
 public:
  static constexpr size_t kObjectsMax = 1024;
  static constexpr int kBurst = 25;
  static constexpr std::chrono::seconds kRefill{300};
  static constexpr std::chrono::seconds kSeriesTime{600};
  // Events of an object that can be counted up.
  static constexpr size_t kSeriesMax = 32;

  struct Reporter {
    std::string controller;  // "example.com/operator"
    std::string instance;    // the pod
  };

  // Both outlive this.
  EventRecorder(Client& client, Scheduler& scheduler, Reporter reporter);
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  // `regarding` was read from the API.
  void Record(const Json& regarding, const Event& event) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Series {
    ObjectKey key;  // of the Event
    int count = 1;
    Timestamp last{};
  };
  struct Subject {
    std::string uid;
    double tokens = kBurst;
    Timestamp refilled_at{};
    std::map<std::string, Series> series;  // by what is the same
  };
  using Subjects = std::list<Subject>;  // the longest silent last

  Subject& SubjectOf(const std::string& uid, Timestamp now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static bool TakeToken(Subject& subject, Timestamp now);
  Json NewEvent(const Json& regarding, const Event& event, const ObjectKey& key,
                Timestamp now) const;
  void Send(ApiCall call);

  Client& client_;
  Scheduler& scheduler_;
  const Reporter reporter_;
  Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;  // for names of Events
  Subjects subjects_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Subjects::iterator> by_uid_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::k8s
