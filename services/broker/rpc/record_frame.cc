#include "services/broker/rpc/record_frame.h"

#include <cstring>
#include <string>

#include "services/base/bytes.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/wire/wire_writer.h"
#include "services/store/log/record_codec.h"

namespace dunlin::broker {
namespace {

// Of SubscribeResponse and MessageFrame.
constexpr uint32_t kFrame = 3;
constexpr uint32_t kBinding = 1;
constexpr uint32_t kNextOffset = 2;
constexpr uint32_t kRecords = 3;
constexpr uint32_t kLeases = 4;
constexpr uint32_t kAttempts = 5;
constexpr uint32_t kMaxOffset = 6;
constexpr uint32_t kCold = 7;

// Below this copying is cheaper than a slice of its own.
constexpr size_t kCopyBelow = 4096;

template <typename Numbers>
std::string Packed(const Numbers& numbers) {
  std::string bytes;
  char varint[10];
  for (const auto number : numbers) bytes.append(varint, WriteVarint(number, varint));
  return bytes;
}

}  // namespace

void RecordFrame::Add(const store::RecordView& record) {
  const std::string_view bytes = record.bytes();
  bytes_ += bytes.size();
  if (!pieces_.empty()) {
    Piece& last = pieces_.back();
    if (last.bytes.data() + last.bytes.size() == bytes.data() && last.pin == record.pin()) {
      last.bytes = {last.bytes.data(), last.bytes.size() + bytes.size()};
      return;
    }
  }
  pieces_.push_back({bytes, record.pin()});
}

void RecordFrame::AddAs(const store::RecordView& record, QueueKey queue, QueueOffset offset) {
  const std::string_view payload = record.payload();
  auto bytes = std::make_shared<std::string>(store::RecordSpace(payload.size()), '\0');
  std::memcpy(bytes->data() + store::kRecordHeaderSize, payload.data(), payload.size());
  store::RecordHeader header = record.header();
  header.length = static_cast<uint32_t>(store::kRecordHeaderSize + payload.size());
  header.kind = store::RecordKind::kMessage;
  header.queue = queue;
  header.queue_offset = offset;
  store::EncodeHeaderBeforePayload(header, bytes->data());
  bytes_ += bytes->size();
  pieces_.push_back({*bytes, bytes});
}

void RecordFrame::AddLease(uint64_t lease, uint32_t attempt) {
  leases_.push_back(lease);
  attempts_.push_back(attempt);
  retried_ |= attempt != 1;
}

RecordFrame::Encoded RecordFrame::Encode(uint32_t binding, const Position& position) const {
  std::string before;
  WireWriter writer(before);
  writer.Int(kBinding, binding);
  writer.Int(kNextOffset, static_cast<int64_t>(position.next_offset));
  writer.Prefix(kRecords, bytes_);
  std::string after;
  WireWriter behind(after);
  if (!leases_.empty()) behind.Bytes(kLeases, Packed(leases_));
  if (retried_) behind.Bytes(kAttempts, Packed(attempts_));
  behind.Int(kMaxOffset, static_cast<int64_t>(position.max_offset));
  if (position.cold) behind.Int(kCold, 1);

  std::string copied;
  WireWriter(copied).Prefix(kFrame, before.size() + bytes_ + after.size());
  copied += before;
  Encoded encoded;
  encoded.size = copied.size() + bytes_ + after.size();
  std::vector<grpc::Slice> slices;
  for (const Piece& piece : pieces_) {
    if (piece.bytes.size() < kCopyBelow) {
      copied += piece.bytes;
      continue;
    }
    if (!copied.empty()) slices.push_back(CopiedSlice(copied));
    copied.clear();
    slices.push_back(PinnedSlice(piece.bytes, piece.pin));
  }
  copied += after;
  slices.push_back(CopiedSlice(copied));
  encoded.buffer = grpc::ByteBuffer(slices.data(), slices.size());
  return encoded;
}

}  // namespace dunlin::broker
