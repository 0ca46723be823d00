// TopicJournal: the data version of a broker's topics, and for each name service what has changed
// since it was told last.
//
// Names of topics are kept, not their states: a topic that changes often costs one line, and is
// looked up when its turn comes. Thread-safe; nothing waits. Nothing survives the process: after a
// restart the version is another one.

#pragma once

#include <cstddef>
#include <functional>
#include <memory>
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

  nameservice::v1::DataVersion version() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasChanges(size_t reader) const ABSL_LOCKS_EXCLUDED(mutex_);

  struct Changes {
    nameservice::v1::DataVersion version;  // reached with them
    std::vector<std::string> topics;       // qualified names
  };
  // What the reader has not taken yet; it has then. Looking the topics up after that gives the
  // state of this version or a newer one, whose change is then taken again.
  Changes Take(size_t reader) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const Clock& clock_;
  const std::function<void()> on_change_;
  mutable Mutex mutex_;
  nameservice::v1::DataVersion version_ ABSL_GUARDED_BY(mutex_);
  std::vector<StringMap<bool>> changed_ ABSL_GUARDED_BY(mutex_);  // by reader; a set of names
};

// A topic as name services are told of it.
nameservice::v1::RegisteredTopic ToRegistered(const Topic& topic);

}  // namespace dunlin::broker
