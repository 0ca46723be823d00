#include "services/broker/registration/topic_journal.h"

#include <utility>

namespace dunlin::broker {

namespace ns = nameservice::v1;
namespace v2 = apache::rocketmq::v2;

TopicJournal::TopicJournal(Epoch epoch, size_t readers, const Clock& clock,
                           std::function<void()> on_change)
    : clock_(clock), on_change_(std::move(on_change)), changed_(readers) {
  version_.set_state_version(epoch.value());
  version_.set_timestamp_ms(ToUnixMillis(clock.Now()));
}

void TopicJournal::OnTopicChanged(std::string_view qualified_name) {
  {
    MutexLock lock(mutex_);
    version_.set_counter(version_.counter() + 1);
    version_.set_timestamp_ms(ToUnixMillis(clock_.Now()));
    for (std::optional<StringMap<bool>>& changed : changed_) {
      if (changed.has_value()) changed->try_emplace(std::string(qualified_name));
    }
  }
  on_change_();
}

ns::DataVersion TopicJournal::Begin(size_t reader) {
  MutexLock lock(mutex_);
  changed_[reader].emplace();
  return version_;
}

void TopicJournal::End(size_t reader) {
  MutexLock lock(mutex_);
  changed_[reader].reset();
}

bool TopicJournal::HasChanges(size_t reader) const {
  MutexLock lock(mutex_);
  return changed_[reader].has_value() && !changed_[reader]->empty();
}

TopicJournal::Changes TopicJournal::Take(size_t reader) {
  StringMap<bool> taken;
  Changes changes;
  {
    MutexLock lock(mutex_);
    if (changed_[reader].has_value()) taken.swap(*changed_[reader]);
    changes.version = version_;
  }
  changes.topics.reserve(taken.size());
  for (const auto& [name, unused] : taken) changes.topics.push_back(name);
  return changes;
}

ns::RegisteredTopic ToRegistered(const Topic& topic) {
  ns::RegisteredTopic registered;
  registered.mutable_topic()->set_resource_namespace(topic.name_space);
  registered.mutable_topic()->set_name(topic.name);
  registered.set_topic_id(topic.id.value());
  registered.set_queues(topic.queues());
  registered.set_write_queues(topic.write_queues);
  registered.set_permission(static_cast<v2::Permission>(topic.access));
  for (int kind = v2::NORMAL; kind <= v2::PRIORITY; ++kind) {
    if (topic.Accepts(kind))
      registered.add_accept_message_types(static_cast<v2::MessageType>(kind));
  }
  return registered;
}

}  // namespace dunlin::broker
