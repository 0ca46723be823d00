// Streams between simulated nodes: how a log is shipped.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "services/base/strings.h"
#include "services/replicator/simulation/sim_node.h"

namespace dunlin::replicator::simulation {

using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

constexpr uint64_t kFrameRecords = 4;
constexpr uint64_t kFramesInFlight = 4;
constexpr Duration kHeartbeat = milliseconds(200);
constexpr Duration kSilence = milliseconds(900);

}  // namespace

// In order; what the network loses breaks the stream, as it would stall until somebody gives up.
void SimNode::SendOn(const std::shared_ptr<Stream>& stream, bool to_slave,
                     std::function<void()> arrive) {
  if (!stream->open) return;
  SimNode* const from = to_slave ? stream->master : stream->slave;
  SimNode* const to = to_slave ? stream->slave : stream->master;
  if (world_.Loses(from->config_.place, to->config_.place)) return Break(stream);
  Instant& last = to_slave ? stream->to_slave : stream->to_master;
  last = std::max(last + microseconds(1),
                  world_.now() + world_.Delay(from->config_.place, to->config_.place));
  world_.After(last - world_.now(), [to, stream, arrive = std::move(arrive), life = to->life_] {
    if (to->life_ == life) to->Deliver(arrive);
  });
}

// Both ends find out, each in its own time.
void SimNode::Break(const std::shared_ptr<Stream>& stream) {
  if (!std::exchange(stream->open, false)) return;
  for (SimNode* node : {stream->slave, stream->master}) {
    world_.After(world_.random().Between(microseconds(100), Duration(milliseconds(1500))),
                 [node, stream, life = node->life_] {
                   if (node->life_ == life)
                     node->Deliver([node, stream] { node->OnBroken(stream); });
                 });
  }
}

void SimNode::OnBroken(const std::shared_ptr<Stream>& stream) {
  if (shipping_.erase(stream->number) > 0) member_->OnSlaveGone(stream->number, LocalNow());
  if (followed_ == stream) {
    followed_.reset();
    member_->OnStreamBroken(stream->number, LocalNow());
    ConnectLater();
  }
}

// ---- as slave ----

void SimNode::Do(const action::Follow& action) {
  following_ = action.master;
  if (followed_ != nullptr) Break(std::exchange(followed_, nullptr));
  ConnectLater();
}

void SimNode::Do(const action::StopFollowing&) {
  following_.clear();
  if (followed_ != nullptr) Break(std::exchange(followed_, nullptr));
}

void SimNode::Do(const action::DropStream& action) {
  if (action.why.code() == absl::StatusCode::kDataLoss) {
    world_.Fail(fmt::format("{}: {}", name(), FromAbsl(action.why.message())));
  }
  if (followed_ == nullptr || followed_->number != action.stream) return;
  Break(std::exchange(followed_, nullptr));
  ConnectLater();
}

void SimNode::ConnectLater() {
  world_.After(world_.random().Between(milliseconds(1), milliseconds(300)), [this, life = life_] {
    if (life == life_) Deliver([this] { Connect(); });
  });
}

void SimNode::Connect() {
  if (following_.empty() || followed_ != nullptr) return;
  if (BrokerWrites()) return ConnectLater();
  const auto master = std::find_if(peers_.begin(), peers_.end(), [this](const SimNode* peer) {
    return peer->name() == following_;
  });
  if (master == peers_.end() || (*master)->member_ == nullptr ||
      world_.Loses(config_.place, (*master)->config_.place)) {
    return ConnectLater();
  }
  const uint64_t number = world_.random().Next() | 1;
  followed_ = std::make_shared<Stream>(Stream{.number = number, .slave = this, .master = *master});
  followed_->slave_heard = followed_->master_heard = world_.now();
  frames_received_ = 0;
  SendOn(followed_, false, [master = *master, stream = followed_, hello = member_->hello()] {
    master->OnHello(stream, hello);
  });
}

void SimNode::Do(const action::Truncate& action) {
  if (action.discards_confirmed && config_.options.mode != Mode::kAsync) {
    world_.Fail(fmt::format("{} discards what is confirmed", name()));
  }
  const uint64_t kept = action.to.offset.value() / kRecordBytes;
  world_.Trace(fmt::format("{}: truncates {} records to {}", name(), end(), kept));
  // What the store would refuse.
  if (kept < disk_.start || kept > end()) {
    world_.Fail(fmt::format("{} cannot truncate what goes from {} to {} to {}", name(), disk_.start,
                            end(), kept));
  }
  if (kept < shown_ && !action.discards_confirmed && config_.options.mode != Mode::kAsync) {
    world_.Fail(fmt::format("{} truncates to {}, and readers have seen {}", name(), kept, shown_));
  }
  shown_ = std::min(shown_, kept);
  disk_.epochs.TruncateTo({action.to.epoch, action.to.offset});
  if (disk_.damaged.has_value() && *disk_.damaged >= kept) disk_.damaged.reset();
  ++flush_life_;
  flushing_ = false;
  if (config_.bug != Bug::kKeepDivergedTail) {
    disk_.log.resize(kept);
    disk_.flushed = std::min(disk_.flushed, kept);
    read_ = std::min(read_, kept);
  }
  MirrorReady(action.stream);
}

void SimNode::Do(const action::Reset& action) {
  world_.Trace(fmt::format("{}: empties its log of {} records", name(), end()));
  if (action.discards_confirmed && config_.options.mode != Mode::kAsync) {
    world_.Fail(fmt::format("{} discards what is confirmed", name()));
  }
  ++flush_life_;
  flushing_ = false;
  disk_.of_group = true;
  disk_.damaged.reset();
  disk_.start = action.start.value() / kRecordBytes;
  if (disk_.start > 0) ++begun_anew_;
  disk_.log = expired_;
  disk_.log.resize(disk_.start);
  disk_.epochs = store::Epochs();
  disk_.flushed = disk_.start;
  read_ = disk_.start;
  shown_ = disk_.start;
  MirrorReady(action.stream);
}

void SimNode::Do(const action::Repair& action) {
  const uint64_t kept = action.to.offset.value() / kRecordBytes;
  world_.Trace(fmt::format("{}: is to fetch what is damaged from record {} on", name(), kept));
  disk_.seen = std::max(disk_.seen, action.seen);
  disk_.promise.reset();
  disk_.damaged.reset();
  disk_.epochs.TruncateTo({action.to.epoch, action.to.offset});
  disk_.log.resize(kept);
  disk_.flushed = std::min(disk_.flushed, kept);
  read_ = std::min(read_, kept);
  ++flush_life_;
  flushing_ = false;
  member_->OnLog(State(), LocalNow());
}

void SimNode::MirrorReady(uint64_t stream) {
  member_->OnLog(State(), LocalNow());
  member_->OnMirrorReady(stream, LocalNow());
  SendAck(0);
}

void SimNode::OnFrame(const std::shared_ptr<Stream>& stream, const Frame& frame) {
  if (followed_ != stream) return;
  stream->slave_heard = world_.now();
  if (!member_->OnFrame(stream->number, frame.confirm, frame.begin, LocalNow()).ok() ||
      frame.index != end()) {
    Break(std::exchange(followed_, nullptr));
    member_->OnStreamBroken(stream->number, LocalNow());
    return ConnectLater();
  }
  if (frame.epoch.epoch > disk_.epochs.last()) {
    disk_.flushed = end();
    disk_.epochs.Begin(frame.epoch.epoch, frame.epoch.start);
  }
  disk_.log.insert(disk_.log.end(), frame.records.begin(), frame.records.end());
  LogChanged();
  Expire(std::min(page_.replicated, page_.master_start));
  SendAck(1);
  FlushLater();
}

void SimNode::SendAck(uint64_t frames) {
  if (followed_ == nullptr) return;
  std::optional<Ack> ack = member_->ack(followed_->number);
  if (ack.has_value() && config_.bug == Bug::kAckBeforeFlush) ack->flushed = ack->received;
  SendOn(followed_, false, [master = followed_->master, number = followed_->number, ack, frames] {
    master->OnAck(number, ack, frames);
  });
}

// ---- as master ----

void SimNode::OnHello(const std::shared_ptr<Stream>& stream, const Hello& hello) {
  const absl::StatusOr<StreamStart> start = member_->OnHello(stream->number, hello, LocalNow());
  if (!start.ok()) return Break(stream);
  // As a lane does: a slave has one stream, also when it is an older one whose hello came late.
  for (auto& [number, shipping] : shipping_) {
    if (shipping.stream->slave == stream->slave) Break(shipping.stream);
  }
  stream->master_heard = world_.now();
  Shipping shipping{.stream = stream};
  const LogOffset first = start->common.has_value() ? start->common->offset : start->start;
  shipping.next = first.value() / kRecordBytes;
  shipping.begun = start->common.has_value() ? start->common->epoch : Epoch(0);
  std::vector<Record> expired = disk_.log;
  expired.resize(disk_.start);
  SendOn(stream, true, [slave = stream->slave, stream, start = *start, expired] {
    if (slave->followed_ != stream) return;
    slave->expired_ = expired;
    stream->slave_heard = slave->world_.now();
    slave->member_->OnStreamStart(stream->number, start, slave->LocalNow());
    slave->Pump();
    slave->SendAck(0);
  });
  Ship(shipping_.emplace(stream->number, std::move(shipping)).first->second, true);
}

// That of what comes next, or one that begins there, has no record, and was not told of.
EpochHistory::Entry SimNode::NextEpoch(const Shipping& shipping) const {
  const LogOffset at(shipping.next * kRecordBytes);
  EpochHistory::Entry found;
  for (const store::Epochs::Entry& entry : disk_.epochs.entries()) {
    if (entry.start > at) break;
    found = {entry.epoch, entry.start};
    if (entry.start == at && entry.epoch > shipping.begun) break;
  }
  return found;
}

// A frame is of one epoch; where a new one begins it says so even when nothing follows.
void SimNode::Ship(Shipping& shipping, bool heartbeat) {
  if (shipping.next < disk_.start) return Break(shipping.stream);  // it has expired
  while (shipping.stream->open && shipping.in_flight < kFramesInFlight) {
    const EpochHistory::Entry epoch = NextEpoch(shipping);
    const bool begins = epoch.epoch > shipping.begun;
    if (!begins && shipping.next >= end() && !heartbeat) return;
    heartbeat = false;
    shipping.begun = epoch.epoch;
    Frame frame{.epoch = epoch,
                .index = shipping.next,
                .records = {},
                .confirm = member_->confirm(),
                .begin = LogOffset(disk_.start * kRecordBytes)};
    while (shipping.next < end() && frame.records.size() < kFrameRecords &&
           disk_.log[shipping.next].epoch == epoch.epoch) {
      frame.records.push_back(disk_.log[shipping.next++]);
    }
    ++shipping.in_flight;
    const std::shared_ptr<Stream> stream = shipping.stream;
    SendOn(stream, true, [slave = stream->slave, stream, frame = std::move(frame)] {
      slave->OnFrame(stream, frame);
    });
  }
}

// Under ASYNC a slave may have let go what its next master never had.
void SimNode::Expire(LogOffset limit) {
  const uint64_t keep = limit.value() / kRecordBytes;
  if (config_.options.mode == Mode::kAsync || keep <= disk_.start || keep > end()) return;
  if (!world_.random().Chance(0.1)) return;
  disk_.start = static_cast<uint64_t>(
      world_.random().Between(static_cast<int64_t>(disk_.start), static_cast<int64_t>(keep)));
  disk_.epochs.Prune(LogOffset(disk_.start * kRecordBytes));
  if (disk_.damaged.has_value() && *disk_.damaged < disk_.start) disk_.damaged.reset();
  member_->OnLog(State(), LocalNow());
}

void SimNode::ShipAll(bool heartbeat) {
  for (auto& [number, shipping] : shipping_) Ship(shipping, heartbeat);
}

void SimNode::OnAck(uint64_t stream, const std::optional<Ack>& ack, uint64_t frames) {
  const auto shipping = shipping_.find(stream);
  if (shipping == shipping_.end()) return;
  shipping->second.in_flight -= frames;
  shipping->second.stream->master_heard = world_.now();
  if (ack.has_value()) member_->OnAck(stream, *ack, LocalNow());
  // The member may have ended the stream.
  const auto still = shipping_.find(stream);
  if (still != shipping_.end()) Ship(still->second, false);
}

void SimNode::Do(const action::DropSlaves&) {
  for (auto& [number, shipping] : shipping_) Break(shipping.stream);
  shipping_.clear();
}

void SimNode::Do(const action::DropSlave& action) {
  const auto shipping = shipping_.extract(action.stream);
  if (!shipping.empty()) Break(shipping.mapped().stream);
}

void SimNode::Heartbeat() {
  world_.After(kHeartbeat, [this, life = life_] {
    if (life != life_) return;
    Heartbeat();
    Deliver([this] {
      if (BrokerWrites())
        Expire(std::min(page_.replicated, LogOffset(disk_.flushed * kRecordBytes)));
      ShipAll(true);
      std::vector<std::shared_ptr<Stream>> silent;
      for (auto& [number, shipping] : shipping_) {
        if (world_.now() - shipping.stream->master_heard > kSilence) {
          silent.push_back(shipping.stream);
        }
      }
      if (followed_ != nullptr && world_.now() - followed_->slave_heard > kSilence) {
        silent.push_back(followed_);
      }
      for (const auto& stream : silent) {
        Break(stream);
        OnBroken(stream);
      }
    });
  });
}

}  // namespace dunlin::replicator::simulation
