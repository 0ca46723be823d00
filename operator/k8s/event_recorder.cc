#include "operator/k8s/event_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "operator/k8s/api_call.h"
#include "operator/k8s/object.h"
#include "operator/k8s/rfc3339.h"
#include "services/base/log.h"
#include "services/base/strings.h"

namespace dunlin::k8s {
namespace {

constexpr size_t kNoteBytesMax = 1024;
constexpr size_t kNameBytesMax = 200;  // leaves room for what makes it unique

const ResourceType& EventsType() {
  static const ResourceType type{.group = "events.k8s.io",
                                 .version = "v1",
                                 .plural = "events",
                                 .kind = "Event",
                                 .namespaced = true};
  return type;
}

std::string_view NameOf(EventType type) {
  return type == EventType::kWarning ? "Warning" : "Normal";
}

}  // namespace

EventRecorder::EventRecorder(Client& client, Scheduler& scheduler, Reporter reporter)
    : client_(client), scheduler_(scheduler), reporter_(std::move(reporter)) {}

void EventRecorder::Record(const Json& regarding, const Event& event) {
  const Timestamp now = scheduler_.Now();
  const ObjectKey of = KeyOf(regarding);
  const std::string same =
      fmt::format("{}\n{}\n{}\n{}", NameOf(event.type), event.reason, event.action, event.note);
  ApiCall call;
  {
    MutexLock lock(mutex_);
    Subject& subject = SubjectOf(std::string(UidOf(regarding)), now);
    std::erase_if(subject.series,
                  [now](const auto& entry) { return now - entry.second.last > kSeriesTime; });
    // Counting up is an event, too: in a tight loop even the same one is not told each time.
    const bool allowed = TakeToken(subject, now);
    if (const auto found = subject.series.find(same); found != subject.series.end()) {
      Series& series = found->second;
      ++series.count;
      series.last = now;
      if (!allowed) return;
      call = MergePatch(
          EventsType(), series.key,
          {{"series", {{"count", series.count}, {"lastObservedTime", FormatMicroTime(now)}}}});
    } else {
      if (!allowed || subject.series.size() >= kSeriesMax) return;
      // Objects that have no namespace have their events in "default".
      const ObjectKey key{.space = of.space.empty() ? "default" : of.space,
                          .name = fmt::format("{}.{:x}{:04x}", of.name.substr(0, kNameBytesMax),
                                              ToUnixMillis(now), next_++ & 0xffff)};
      subject.series[same] = {.key = key, .count = 1, .last = now};
      call = Create(EventsType(), NewEvent(regarding, event, key, now));
    }
  }
  Send(std::move(call));
}

EventRecorder::Subject& EventRecorder::SubjectOf(const std::string& uid, Timestamp now) {
  if (const auto found = by_uid_.find(uid); found != by_uid_.end()) {
    subjects_.splice(subjects_.begin(), subjects_, found->second);
    return subjects_.front();
  }
  if (subjects_.size() >= kObjectsMax) {
    by_uid_.erase(subjects_.back().uid);
    subjects_.pop_back();
  }
  subjects_.push_front({.uid = uid, .tokens = kBurst, .refilled_at = now, .series = {}});
  by_uid_[uid] = subjects_.begin();
  return subjects_.front();
}

bool EventRecorder::TakeToken(Subject& subject, Timestamp now) {
  const std::chrono::duration<double> passed = now - subject.refilled_at;
  const std::chrono::duration<double> refill = kRefill;
  subject.tokens = std::min<double>(kBurst, subject.tokens + passed / refill);
  subject.refilled_at = now;
  if (subject.tokens < 1) return false;
  subject.tokens -= 1;
  return true;
}

Json EventRecorder::NewEvent(const Json& regarding, const Event& event, const ObjectKey& key,
                             Timestamp now) const {
  Json made = NewObject(EventsType(), key);
  made["eventTime"] = FormatMicroTime(now);
  made["type"] = NameOf(event.type);
  made["reason"] = event.reason;
  made["action"] = event.action;
  made["note"] = event.note.substr(0, kNoteBytesMax);
  made["reportingController"] = reporter_.controller;
  made["reportingInstance"] = reporter_.instance;
  made["regarding"] = {{"apiVersion", StringAt(regarding, {"apiVersion"})},
                       {"kind", StringAt(regarding, {"kind"})},
                       {"namespace", StringAt(regarding, {"metadata", "namespace"})},
                       {"name", StringAt(regarding, {"metadata", "name"})},
                       {"uid", UidOf(regarding)},
                       {"resourceVersion", ResourceVersionOf(regarding)}};
  return made;
}

void EventRecorder::Send(ApiCall call) {
  client_.Start(std::move(call), [](const Client::Answer& answer) {
    if (answer.ok() || answer.status().code() == absl::StatusCode::kCancelled) return;
    log::Info("an event was dropped: {}", FromAbsl(answer.status().message()));
  });
}

}  // namespace dunlin::k8s
