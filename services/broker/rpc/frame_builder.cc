#include "services/broker/rpc/frame_builder.h"

#include <string>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/check.h"
#include "services/broker/timers/parking.h"

namespace dunlin::broker {

void FrameBuilder::Begin(const Topic& topic, uint32_t queue, uint64_t producer_id) {
  queue_ = {topic.id, queue};
  tail_ = topic.tails[queue].get();
  producer_id_ = producer_id;
  items_.clear();
  pieces_.clear();
  runs_.clear();
  run_bytes_.clear();
  run_payloads_.clear();
  records_.clear();
  owned_.clear();
}

void FrameBuilder::Add(uint64_t sequence, const RawMessage& message, std::optional<Timestamp> due) {
  const bool parked = due.has_value();
  if (runs_.empty() || runs_.back().first_sequence + runs_.back().count != sequence ||
      runs_.back().parked != parked) {
    runs_.push_back({sequence, 0, 0, parked});
  }
  ++runs_.back().count;
  items_.push_back({static_cast<uint32_t>(pieces_.size()),
                    static_cast<uint32_t>(message.payload.size()), message.properties_offset,
                    message.gzip, due});
  pieces_.insert(pieces_.end(), message.payload.begin(), message.payload.end());
}

void FrameBuilder::End() {
  // Views of what may have moved while it grew are taken only now.
  run_bytes_.resize(runs_.size());
  run_payloads_.resize(runs_.size());
  size_t item = 0;
  for (size_t i = 0; i < runs_.size(); ++i) {
    Run& run = runs_[i];
    if (producer_id_ != 0) {
      storage::v1::ProducerRun proto;
      proto.set_producer_id(producer_id_);
      proto.set_first_sequence(run.first_sequence);
      proto.set_count(static_cast<uint32_t>(run.count));
      const size_t size = proto.ByteSizeLong();
      CHECK(size <= kRunBytes);
      proto.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(run_bytes_[i].data()));
      run_payloads_[i] = {run_bytes_[i].data(), size};
      store::NewRecord& record = records_.emplace_back();
      record.kind = store::RecordKind::kProducer;
      record.queue = queue_;
      record.payload = {&run_payloads_[i], 1};
    }
    run.first_record = records_.size();
    for (uint64_t k = 0; k < run.count; ++k, ++item) {
      store::NewRecord& record = records_.emplace_back();
      record.flags = items_[item].gzip ? store::kFlagGzip : 0;
      record.queue = queue_;
      record.tail = tail_;
      record.properties_offset = items_[item].properties_offset;
      record.payload = {&pieces_[items_[item].first_piece], items_[item].pieces};
      if (run.parked) Park(*items_[item].due, record);
    }
  }
}

}  // namespace dunlin::broker
