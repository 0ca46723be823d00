#include "services/broker/rpc/lite_send.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"

namespace dunlin::broker {
namespace {

std::string Announce(const LiteTopic& topic) {
  storage::v1::ConfigChange change;
  storage::v1::LiteTopic& put = *change.mutable_put_lite_topic();
  put.set_topic_id(topic.queue.topic.value());
  put.set_queue(topic.queue.queue);
  put.set_name(topic.name);
  put.set_created_ms(ToUnixMillis(topic.created));
  return change.SerializeAsString();
}

}  // namespace

absl::Status LiteBatch::Plan(LiteTable& table, const Topic& topic, const RawSend& send) {
  table_ = &table;
  expiration_ = topic.lite_expiration;
  const LiteTopic* last = nullptr;  // that was announced
  for (const RawMessage& message : send.messages) {
    ASSIGN_OR_RETURN(LiteTable::Pin pin, table.FindOrMake(topic, message.lite_topic));
    // Another send may be about to tell the same: once too often does no harm.
    if (!pin->announced.load(std::memory_order_acquire) && &*pin != last) {
      announcements_.push_back(Announce(*pin));
      last = &*pin;
    }
    pins_.push_back(std::move(pin));
  }
  pieces_.assign(announcements_.begin(), announcements_.end());
  records_.resize(pieces_.size() + send.messages.size());
  for (size_t i = 0; i < pieces_.size(); ++i) {
    records_[i].kind = store::RecordKind::kConfig;
    records_[i].payload = {&pieces_[i], 1};
  }
  for (size_t i = 0; i < send.messages.size(); ++i) {
    const RawMessage& message = send.messages[i];
    store::NewRecord& record = records_[pieces_.size() + i];
    record.queue = pins_[i]->queue;
    record.tail = &pins_[i]->tail;
    record.properties_offset = message.properties_offset;
    record.payload = message.payload;
    if (message.gzip) record.flags = store::kFlagGzip;
  }
  return absl::OkStatus();
}

void LiteBatch::Appended() {
  for (const LiteTable::Pin& pin : pins_) table_->Announced(*pin, expiration_);
}

}  // namespace dunlin::broker
