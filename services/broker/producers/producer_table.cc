#include "services/broker/producers/producer_table.h"

#include "services/base/status_macros.h"

namespace dunlin::broker {

absl::StatusOr<std::shared_ptr<ProducerQueue>> ProducerTable::Bind(uint64_t producer,
                                                                   QueueKey queue) {
  const Key key(producer, queue);
  std::shared_ptr<ProducerQueue> bound;
  {
    MutexLock lock(mutex_);
    ForgetUnbound();
    Entry& entry = entries_[key];
    if (entry.producer == nullptr) entry.producer = std::make_shared<ProducerQueue>();
    ++entry.streams;
    bound = entry.producer;
  }
  // Not under the table's lock: it may take a while.
  absl::StatusOr<uint64_t> last = 0;
  {
    MutexLock lock(bound->mutex);
    if (bound->loaded) return bound;
    last = LastSequence(producer, queue);
    if (last.ok()) {
      bound->last_sequence = *last;
      bound->loaded = true;
      return bound;
    }
  }
  Unbind(producer, queue);
  return last.status();
}

void ProducerTable::Unbind(uint64_t producer, QueueKey queue) {
  MutexLock lock(mutex_);
  const Key key(producer, queue);
  auto found = entries_.find(key);
  if (found == entries_.end()) return;
  if (--found->second.streams == 0) unbound_.push_back(key);
  ForgetUnbound();
}

void ProducerTable::ForgetUnbound() {
  const LogOffset dispatched = dispatcher_.dispatched().Get();
  while (!unbound_.empty()) {
    auto found = entries_.find(unbound_.front());
    if (found != entries_.end() && found->second.streams == 0) {
      MutexLock lock(found->second.producer->mutex);
      // Until then the state store does not know what it stored last.
      if (found->second.producer->end > dispatched) return;
    }
    if (found != entries_.end() && found->second.streams == 0) entries_.erase(found);
    unbound_.pop_front();
  }
}

size_t ProducerTable::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

absl::StatusOr<uint64_t> ProducerTable::LastSequence(uint64_t producer, QueueKey queue) const {
  const absl::StatusOr<store::ProducerRow> row = state_.GetProducer(producer, queue);
  if (absl::IsNotFound(row.status())) return 0;
  RETURN_IF_ERROR(row.status());
  const absl::StatusOr<store::RecordView> run = log_.Read(row->log_offset);
  if (!run.ok()) return 0;  // expired, or damaged: as if it had never been
  // A crash may have taken the last messages of the run back.
  uint64_t last = row->first_sequence - 1;
  const LogOffset limit = log_.confirmed().Get();
  LogOffset at = run->end();
  for (uint32_t i = 0; i < row->count; ++i) {
    const absl::StatusOr<store::RecordView> message = log_.ReadNext(at, limit);
    if (!message.ok() || message->header().kind != store::RecordKind::kMessage ||
        message->header().queue != queue || message->header().epoch != run->header().epoch) {
      break;
    }
    ++last;
    at = message->end();
  }
  return last;
}

}  // namespace dunlin::broker
