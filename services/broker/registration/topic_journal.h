// TopicJournal: the data version of a broker's topics, and for each name service what has changed
// since it was told last.
//
// Names of topics are kept, not their states: a topic that changes often costs one line, and is
// looked up when its turn comes; and only for name services that are there to be told. Thread-safe;
// nothing waits. Nothing survives the process: after a restart the version is another one.

#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/dunlin/nameservice/v1/registry.pb.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/base/strong_int.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/topics/topic_watchers.h"

namespace dunlin::broker {

class TopicJournal final : public TopicWatcher {
 public:
  // `on_change` is called after each change, without a lock; must not wait. `clock` must outlive
  // the journal.
  TopicJournal(Epoch epoch, size_t readers, const Clock& clock, std::function<void()> on_change);

  void OnTopicChanged(std::string_view qualified_name) override ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on changes are kept for the reader, and those from before forgotten. Returns the
  // version in between.
  nameservice::v1::DataVersion Begin(size_t reader) ABSL_LOCKS_EXCLUDED(mutex_);
  // Forgets them, until Begin is called again. Idempotent.
  void End(size_t reader) ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasChanges(size_t reader) const ABSL_LOCKS_EXCLUDED(mutex_);

  struct Changes {
    nameservice::v1::DataVersion version;  // reached with them
    std::vector<std::string> topics;       // qualified names
  };
  // What was kept for the reader and not taken yet; it is now. Looking the topics up after that
  // gives the state of this version or a newer one, whose change is then taken again.
  Changes Take(size_t reader) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const Clock& clock_;
  const std::function<void()> on_change_;
  mutable Mutex mutex_;
  nameservice::v1::DataVersion version_ ABSL_GUARDED_BY(mutex_);
  // By reader, sets of names; nullopt: nothing is kept.
  std::vector<std::optional<StringMap<bool>>> changed_ ABSL_GUARDED_BY(mutex_);
};

// A topic as name services are told of it.
nameservice::v1::RegisteredTopic ToRegistered(const Topic& topic);

}  // namespace dunlin::broker
