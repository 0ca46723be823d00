#include "services/broker/admin/broker_metrics.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/latency_histogram.h"
#include "services/base/version.h"
#include "services/broker/access/access_control.h"
#include "services/broker/admin/lookups.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/codes/refusals.h"
#include "services/broker/topics/qualified_name.h"
#include "services/runtime/latency_metric.h"
#include "services/store/state/database_usage.h"

namespace dunlin::broker {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// The families of one answer, all with the labels of the broker.
class Families {
 public:
  explicit Families(Labels common) : common_(std::move(common)) {}

  void Gauge(const std::string& name, const std::string& help, double value,
             const Labels& labels = {}) {
    Add(name, help, MetricType::Gauge, labels).gauge.value = value;
  }
  void Counter(const std::string& name, const std::string& help, double value,
               const Labels& labels = {}) {
    Add(name, help, MetricType::Counter, labels).counter.value = value;
  }

  void Histogram(const std::string& name, const std::string& help,
                 const LatencyHistogram& histogram) {
    ClientMetric& metric = Add(name, help, MetricType::Histogram, {});
    metric.histogram = LatencyMetric(histogram.Read()).histogram;
  }

  std::vector<MetricFamily> Take() {
    std::vector<MetricFamily> families;
    for (auto& [name, family] : families_) families.push_back(std::move(family));
    return families;
  }

 private:
  ClientMetric& Add(const std::string& name, const std::string& help, MetricType type,
                    const Labels& labels) {
    MetricFamily& family = families_[name];
    if (family.metric.empty()) family = {.name = name, .help = help, .type = type, .metric = {}};
    ClientMetric& metric = family.metric.emplace_back();
    metric.label = common_;
    metric.label.insert(metric.label.end(), labels.begin(), labels.end());
    return metric;
  }

  const Labels common_;
  std::map<std::string, MetricFamily> families_;
};

double Number(int64_t value) { return static_cast<double>(value); }

void AddStore(const admin::v1::Broker& broker, Families& families) {
  families.Gauge("rocketmq_storage_size", "Bytes of the commit log on disk.",
                 Number(broker.bytes_on_disk()));
  families.Gauge("rocketmq_storage_flush_behind_bytes",
                 "Bytes of the commit log that are not on disk yet.",
                 Number(std::max<int64_t>(broker.appended() - broker.flushed(), 0)));
  families.Gauge("rocketmq_storage_dispatch_behind_bytes",
                 "Bytes of the commit log that are not in the indexes yet.",
                 Number(std::max<int64_t>(broker.appended() - broker.dispatched(), 0)));
  families.Counter("dunlin_broker_log_appended_bytes_total", "Bytes written to the commit log.",
                   Number(broker.appended()));
  families.Gauge("dunlin_broker_damaged_ranges", "Places of the commit log that are damaged.",
                 broker.damage_size());
  families.Counter("dunlin_broker_damaged_messages_total",
                   "Messages passed over in deliveries because they are damaged.",
                   Number(broker.damaged_messages()));
  families.Gauge("dunlin_broker_disk_full", "1 while sends are refused since the disk is full.",
                 broker.disk_full() ? 1 : 0);
}

void AddTraffic(const admin::v1::Broker& broker, Families& families) {
  families.Gauge("rocketmq_topic_number", "Topics.", broker.topics());
  families.Gauge("rocketmq_consumer_group_number", "Consumer groups.", broker.groups());
  families.Gauge("rocketmq_half_messages",
                 "Transactions that are neither committed nor rolled back.",
                 Number(broker.open_transactions()));
  families.Gauge("dunlin_broker_parked_transactions",
                 "Of those, the ones that are not checked any more.",
                 Number(broker.parked_transactions()));
  families.Gauge("dunlin_broker_delayed_messages", "Messages that wait for their time.",
                 Number(broker.delayed_messages()));
  families.Gauge("dunlin_broker_clients", "Clients that are known by their heartbeats.",
                 broker.clients());
  families.Gauge("dunlin_broker_waiting_polls", "Receives that wait for messages.",
                 Number(broker.waiting_polls()));
  families.Gauge("dunlin_broker_pending_calls", "SendMessage calls that are not answered yet.",
                 Number(broker.pending_calls()));
  families.Gauge("dunlin_broker_pending_bytes",
                 "Bytes of calls and frames of producers that are not answered yet.",
                 Number(broker.pending_bytes()));
  families.Counter("dunlin_broker_streamed_messages_total",
                   "Messages sent to readers in offset mode of streams.",
                   Number(broker.streamed_messages()));
  families.Counter(
      "dunlin_broker_cold_readers_total",
      "Readers in offset mode that came to be so far behind that the disk serves them: "
      "a master tells them to go to a slave.",
      Number(broker.cold_readers()));
  families.Counter("dunlin_broker_refused_sends_total",
                   "Calls and frames turned away because too much was pending.",
                   Number(broker.refused_sends()));
}

void AddDisk(const AdminRooms& rooms, Families& families) {
  families.Histogram("dunlin_broker_log_write_seconds",
                     "How long writes of the commit log into the page cache took.",
                     rooms.log.times().writes);
  families.Histogram("dunlin_broker_log_sync_seconds",
                     "How long the disk took to have a segment of the commit log.",
                     rooms.log.times().syncs);
  const store::DatabaseUsage usage = rooms.state.usage();
  families.Gauge("dunlin_broker_rocksdb_disk_bytes", "Files of RocksDB.",
                 static_cast<double>(usage.files));
  families.Gauge("dunlin_broker_rocksdb_memtable_bytes",
                 "What RocksDB has in memory and not on disk.",
                 static_cast<double>(usage.memtables));
  families.Gauge("dunlin_broker_rocksdb_block_cache_bytes", "What RocksDB keeps of what it read.",
                 static_cast<double>(usage.block_cache));
  families.Gauge("dunlin_broker_rocksdb_pending_compaction_bytes",
                 "What RocksDB is still to compact.",
                 static_cast<double>(usage.pending_compaction));
  families.Gauge("dunlin_broker_rocksdb_writes_stopped",
                 "1 while RocksDB takes nothing until compaction has caught up.",
                 usage.writes_stopped ? 1 : 0);
}

void AddRefusals(Families& families) {
  for (const auto& [code, count] : Refusals()) {
    families.Counter("dunlin_broker_refusals_total",
                     "Errors that went to clients of apache.rocketmq.v2, by their code.",
                     static_cast<double>(count), {{"code", std::string(InfoOf(code).name)}});
  }
}

void AddAccess(Families& families) {
  for (size_t i = 0; i < AccessControl::kRefusals.size(); ++i) {
    families.Counter(
        "dunlin_broker_access_refusals_total",
        "What access control has turned away, by the reason.",
        static_cast<double>(AccessControl::refusals(static_cast<AccessControl::Refusal>(i))),
        {{"reason", std::string(AccessControl::kRefusals[i])}});
  }
}

// What each topic has taken since it was made. Of lightweight topics there may be millions.
void AddTopics(const AdminRooms& rooms, const std::atomic<bool>& closing, Families& families) {
  size_t left_out = 0;
  size_t shown = 0;
  for (const std::shared_ptr<const Topic>& topic : rooms.topics.Topics()) {
    if (closing) return;
    if (topic->lite()) continue;
    if (++shown > BrokerMetrics::kSeriesMax) {
      ++left_out;
      continue;
    }
    uint64_t messages = 0;
    for (uint32_t queue = 0; queue < topic->queues(); ++queue) {
      messages += rooms.dispatcher.queues().Bounds({topic->id, queue}).max.value();
    }
    families.Counter("rocketmq_messages_in_total",
                     "Messages that the topic has taken, as the ends of its queues say.",
                     static_cast<double>(messages),
                     {{"topic", QualifiedName(topic->name_space, topic->name)}});
  }
  families.Gauge("dunlin_broker_left_out_topics", "Topics that are not in this answer.",
                 static_cast<double>(left_out));
}

// How far a group is in a topic.
struct Lag {
  int64_t messages = 0;
  int64_t in_flight = 0;
  int64_t retrying = 0;
  int64_t committed = 0;
  std::chrono::milliseconds latency{0};
};

// How long the first message of the queue that is not done has been there. One that cannot be read,
// or is gone by now, does not count.
std::chrono::milliseconds LatencyOf(const AdminRooms& rooms, QueueKey key,
                                    const admin::v1::GroupQueueStatus& status) {
  const store::QueueBounds bounds = rooms.dispatcher.queues().Bounds(key);
  const QueueOffset first =
      std::max(QueueOffset(static_cast<uint64_t>(status.committed_offset())), bounds.min);
  std::vector<store::IndexEntry> entries;
  if (!rooms.dispatcher.queues().Read(key, first, 1, entries).ok() || entries.empty()) return {};
  const auto found = rooms.taker.ReadEntry(entries.front());
  if (!found.ok()) return {};
  return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(
                      rooms.clock.Now() - found->message.header().store_time),
                  std::chrono::milliseconds(0));
}

std::map<std::string, Lag> LagsOf(const AdminRooms& rooms, const Group& group,
                                  const std::vector<storage::v1::QueueProgress>& rows,
                                  const std::atomic<bool>& closing) {
  std::map<std::string, Lag> lags;
  for (const storage::v1::QueueProgress& row : rows) {
    if (closing) break;
    const std::shared_ptr<const Topic> topic = rooms.topics.FindTopic(TopicId(row.topic_id()));
    if (topic == nullptr) continue;  // deleted by now
    const auto status = QueueStatusOf(rooms, group, *topic, row.queue());
    if (!status.ok()) continue;
    Lag& lag = lags[status->topic()];
    lag.messages += status->lag();
    lag.in_flight += status->in_flight();
    lag.retrying += status->retrying();
    lag.committed += status->committed_offset();
    if (status->lag() == 0) continue;
    lag.latency = std::max(lag.latency, LatencyOf(rooms, {topic->id, row.queue()}, *status));
  }
  return lags;
}

void AddLag(const Lag& lag, const Labels& labels, Families& families) {
  families.Gauge("rocketmq_consumer_lag_messages", "Messages of the topic that are not done.",
                 Number(lag.messages), labels);
  families.Gauge("rocketmq_consumer_lag_latency",
                 "Milliseconds since the oldest message that is not done was stored.",
                 Number(lag.latency.count()), labels);
  families.Gauge("rocketmq_consumer_inflight_messages",
                 "Messages that consumers have and have not answered.", Number(lag.in_flight),
                 labels);
  families.Gauge("rocketmq_consumer_ready_messages", "Messages that can be delivered now.",
                 Number(std::max<int64_t>(lag.messages - lag.in_flight - lag.retrying, 0)), labels);
  families.Gauge("dunlin_group_retrying_messages", "Messages that wait for their redelivery.",
                 Number(lag.retrying), labels);
  families.Counter("dunlin_group_done_messages_total",
                   "Messages below which all are done; less after an offset was reset.",
                   Number(lag.committed), labels);
}

void AddGroups(const AdminRooms& rooms, const std::atomic<bool>& closing, Families& families) {
  std::map<std::string, int> consumers;
  for (const ClientInfo& client : rooms.clients.List()) ++consumers[client.group];
  size_t left_out = 0;
  size_t shown = 0;
  for (const std::shared_ptr<const Group>& group : rooms.topics.Groups()) {
    if (closing) return;
    if (++shown > BrokerMetrics::kSeriesMax) {
      ++left_out;
      continue;
    }
    const ClientMetric::Label name{"consumer_group", QualifiedName(group->name_space, group->name)};
    families.Gauge("rocketmq_consumer_connections", "Consumers of the group.",
                   consumers[name.value], {name});
    // In lightweight topics there may be millions.
    if (!group->lite_bind_topic.empty()) continue;
    const auto rows = rooms.state.ListProgress(group->id);
    if (!rows.ok()) continue;
    for (const auto& [topic, lag] : LagsOf(rooms, *group, *rows, closing)) {
      if (++shown > BrokerMetrics::kSeriesMax) {
        ++left_out;
        continue;
      }
      AddLag(lag, {{"topic", topic}, name}, families);
    }
  }
  families.Gauge("dunlin_broker_left_out_groups",
                 "Groups, and pairs of a topic and a group, that are not in this answer.",
                 static_cast<double>(left_out));
}

}  // namespace

void BrokerMetrics::Show(Admin& admin, bool slave) {
  MutexLock lock(mutex_);
  admin_ = &admin;
  slave_ = slave;
}

void BrokerMetrics::Close() {
  closing_ = true;
  MutexLock lock(mutex_);
  admin_ = nullptr;
  closing_ = false;
}

std::vector<MetricFamily> BrokerMetrics::Collect() const {
  MutexLock lock(mutex_);
  if (admin_ == nullptr) return {};
  const admin::v1::Broker broker = admin_->GetBroker();
  Families families({{"cluster", broker.cluster()}, {"node_id", broker.name()}});
  families.Gauge("dunlin_build_info", "1; which version it is.", 1,
                 {{"version", std::string(kVersion)}});
  families.Gauge("dunlin_broker_master", "1 where messages are taken, 0 at a slave.",
                 slave_ ? 0 : 1);
  families.Gauge("dunlin_broker_epoch", "Epoch of the log.", broker.epoch());
  AddStore(broker, families);
  AddDisk(admin_->rooms(), families);
  AddTraffic(broker, families);
  AddRefusals(families);
  AddAccess(families);
  // A disk that cannot be asked has no figures; the log has seen to its failure.
  if (const auto space = files_.GetDiskSpace(directory_); space.ok()) {
    families.Gauge("dunlin_broker_disk_size_bytes", "Size of the disk that the store is on.",
                   static_cast<double>(space->total_bytes));
    families.Gauge("dunlin_broker_disk_free_bytes", "What is free of it.",
                   static_cast<double>(space->free_bytes));
  }
  if (!slave_) {
    AddTopics(admin_->rooms(), closing_, families);
    AddGroups(admin_->rooms(), closing_, families);
  }
  // What was cut short would be sums of a part.
  if (closing_) return {};
  return families.Take();
}

}  // namespace dunlin::broker
