#include "services/replicator/transport/wire.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "services/base/strings.h"

namespace dunlin::replicator {

v1::Hello ToWire(const Hello& hello) {
  v1::Hello wire;
  wire.set_member(hello.member);
  for (const EpochHistory::Entry& entry : hello.history.entries()) {
    v1::EpochStart& epoch = *wire.add_epochs();
    epoch.set_epoch(entry.epoch.value());
    epoch.set_start(entry.start.value());
  }
  wire.set_end(hello.end.value());
  wire.set_highest_epoch(hello.highest_epoch.value());
  return wire;
}

absl::StatusOr<Hello> FromWire(const v1::Hello& hello) {
  std::vector<EpochHistory::Entry> entries;
  for (const v1::EpochStart& epoch : hello.epochs()) {
    entries.push_back({Epoch(epoch.epoch()), LogOffset(epoch.start())});
  }
  absl::StatusOr<EpochHistory> history =
      EpochHistory::Make(std::move(entries), LogOffset(hello.end()));
  if (!history.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{} says: {}", hello.member(), FromAbsl(history.status().message())));
  }
  return Hello{.member = hello.member(),
               .history = *std::move(history),
               .end = LogOffset(hello.end()),
               .highest_epoch = Epoch(hello.highest_epoch())};
}

v1::Start ToWire(const StreamStart& start) {
  v1::Start wire;
  wire.set_epoch(start.epoch.value());
  if (start.common.has_value()) {
    wire.mutable_truncate_to()->set_epoch(start.common->epoch.value());
    wire.mutable_truncate_to()->set_offset(start.common->offset.value());
  } else {
    wire.set_reset_to(start.start.value());
  }
  wire.set_begin(start.start.value());
  wire.set_unclean_epoch(start.unclean_epoch.value());
  return wire;
}

absl::StatusOr<StreamStart> FromWire(const v1::Start& start) {
  StreamStart from;
  from.epoch = Epoch(start.epoch());
  from.start = LogOffset(start.begin());
  from.unclean_epoch = Epoch(start.unclean_epoch());
  switch (start.position_case()) {
    case v1::Start::kTruncateTo:
      from.common = EpochHistory::CommonPoint{Epoch(start.truncate_to().epoch()),
                                              LogOffset(start.truncate_to().offset())};
      return from;
    case v1::Start::kResetTo:
      from.start = LogOffset(start.reset_to());
      return from;
    case v1::Start::POSITION_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("the master's start names no position");
}

v1::Ack ToWire(const Ack& ack) {
  v1::Ack wire;
  wire.set_received(ack.received.value());
  wire.set_flushed(ack.flushed.value());
  wire.set_epoch(ack.epoch.value());
  wire.set_leaving(ack.leaving);
  return wire;
}

absl::StatusOr<Ack> FromWire(const v1::Ack& ack) {
  if (ack.flushed() > ack.received()) {
    return absl::InvalidArgumentError(
        fmt::format("flushed up to {}, but received up to {} only", ack.flushed(), ack.received()));
  }
  return Ack{Epoch(ack.epoch()), LogOffset(ack.received()), LogOffset(ack.flushed()),
             ack.leaving()};
}

v1::PromiseResponse ToWire(const PromiseAnswer& answer) {
  v1::PromiseResponse wire;
  wire.set_promised(answer.granted);
  wire.set_epoch(answer.epoch.value());
  wire.set_last_epoch(answer.position.epoch.value());
  wire.set_end(answer.position.end.value());
  wire.set_reason(answer.reason);
  return wire;
}

PromiseAnswer FromWire(const v1::PromiseResponse& answer) {
  return {.granted = answer.promised(),
          .epoch = Epoch(answer.epoch()),
          .position = {Epoch(answer.last_epoch()), LogOffset(answer.end())},
          .reason = answer.reason()};
}

v1::PledgeRequest ToWire(const PledgeRequest& request) {
  v1::PledgeRequest wire;
  wire.set_master(request.master);
  wire.set_epoch(request.epoch.value());
  wire.set_time_ms(static_cast<uint32_t>(request.time / std::chrono::milliseconds(1)));
  return wire;
}

PledgeRequest FromWire(const v1::PledgeRequest& request) {
  return {.master = request.master(),
          .epoch = Epoch(request.epoch()),
          .time = std::chrono::milliseconds(request.time_ms())};
}

v1::PledgeResponse ToWire(const PledgeAnswer& answer) {
  v1::PledgeResponse wire;
  wire.set_pledged(answer.granted);
  wire.set_reason(answer.reason);
  return wire;
}

PledgeAnswer FromWire(const v1::PledgeResponse& answer) {
  return {.granted = answer.pledged(), .reason = answer.reason()};
}

std::string ArgumentOf(const v1::PledgeRequest& request) {
  return fmt::format("{} {}", request.epoch(), request.time_ms());
}

}  // namespace dunlin::replicator
