// Broker and disk of a simulated node: they know the control page and the log alone.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "services/replicator/simulation/sim_node.h"

namespace dunlin::replicator::simulation {

using std::chrono::milliseconds;

void SimNode::WritePage(const PageState& page) {
  const bool changed_hands = page.role != page_.role || page.epoch != page_.epoch;
  page_ = page;
  if (changed_hands) {
    world_.After(world_.random().Between(milliseconds(0), milliseconds(30)),
                 [this, life = broker_life_] {
                   if (life == broker_life_ && !paused_) BrokerFollows();
                 });
  }
  ReadConfirmed();
  TellSenders();
}

// Does what the page says by now: stops to write, or begins.
void SimNode::BrokerFollows() {
  if (!broker_running_ || paused_) return;
  const bool is_master = page_.role == Role::kMaster;
  const Epoch wanted = is_master ? page_.epoch : Epoch(0);
  if (wanted == broker_epoch_) return;
  // Senders of what is not confirmed are told that nobody knows.
  waiters_.clear();
  broker_epoch_ = wanted;
  world_.Trace(fmt::format(
      "{}: its broker {}", name(),
      is_master ? fmt::format("is master of epoch {}", wanted.value()) : "stops to write"));
  if (!BrokerWrites() && when_broker_stopped_ != nullptr) {
    Deliver([this] {
      if (when_broker_stopped_ != nullptr) std::exchange(when_broker_stopped_, nullptr)();
    });
  }
}

bool SimNode::Send(uint64_t id) {
  if (!broker_running_ || paused_ || !BrokerWrites()) return false;
  if (page_.accepting != Accepting::kYes) return false;
  const Record record{broker_epoch_, id};
  disk_.log.push_back(record);
  waiters_.push_back({end(), record, broker_epoch_});
  Deliver([this] { LogChanged(); });
  FlushLater();
  TellSenders();
  return true;
}

void SimNode::LogChanged() {
  member_->OnLog(State(), LocalNow());
  ReadConfirmed();
  ShipAll(false);
}

// What is confirmed is read first, the lease looked at afterwards.
void SimNode::TellSenders() {
  if (!broker_running_ || paused_ || waiters_.empty()) return;
  const uint64_t durable = config_.options.flush == Flush::kSync ? disk_.flushed : end();
  const uint64_t confirmed = std::min(durable, page_.replicated.value() / kRecordBytes);
  world_.After(world_.random().Between(Duration(0), Duration(milliseconds(3))),
               [this, confirmed, life = broker_life_] {
                 if (life != broker_life_ || paused_) return;
                 const bool in_time =
                     LocalNow() < page_.lease_until || config_.bug == Bug::kAckWithoutLease;
                 while (in_time && !waiters_.empty() && waiters_.front().end <= confirmed) {
                   if (member_ != nullptr && member_->GoesOnByPledges()) ++by_pledges_;
                   checker_.OnAcknowledged(name(), waiters_.front().epoch, waiters_.front().record);
                   waiters_.pop_front();
                 }
               });
}

void SimNode::ReadConfirmed() {
  uint64_t confirmed = std::min(end(), page_.replicated.value() / kRecordBytes);
  if (config_.bug == Bug::kConfirmWhatIsReceived) confirmed = end();
  for (; read_ < confirmed; ++read_) checker_.OnRead(name(), read_, disk_.log[read_]);
  shown_ = std::max(shown_, read_);
}

void SimNode::FlushLater() {
  if (flushing_ || disk_.flushed == end()) return;
  flushing_ = true;
  // A disk that takes its time is what gives a lie away.
  const bool quick = config_.options.flush == Flush::kSync && config_.bug != Bug::kAckBeforeFlush;
  const Duration longest = quick ? milliseconds(8) : milliseconds(500);
  // What is on its way to the disk when the call begins is what it makes durable.
  world_.After(world_.random().Between(Duration(milliseconds(1)), longest),
               [this, upto = end(), life = flush_life_] {
                 if (life != flush_life_) return;
                 flushing_ = false;
                 disk_.flushed = std::max(disk_.flushed, std::min(upto, end()));
                 Flush();
               });
}

void SimNode::Flush() {
  if (!broker_running_ && member_ == nullptr) return;
  TellSenders();
  Deliver([this] {
    LogChanged();
    SendAck(0);
  });
  FlushLater();
}

}  // namespace dunlin::replicator::simulation
