#include "services/replicator/transport/follow_frame.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <string>
#include <utility>

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/status_macros.h"
#include "services/runtime/byte_buffers.h"

namespace dunlin::replicator {
namespace {

namespace v1 = dunlin::replication::v1;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

constexpr uint32_t kFrameTag = WireFormatLite::MakeTag(v1::FollowResponse::kFrameFieldNumber,
                                                       WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t kRecordsTag = WireFormatLite::MakeTag(v1::Frame::kRecordsFieldNumber,
                                                         WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr size_t kRecordAlignment = 8;

void AppendVarint(std::string& to, uint64_t number) {
  uint8_t bytes[10];
  const uint8_t* end = CodedOutputStream::WriteVarint64ToArray(number, bytes);
  to.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(end - bytes));
}

absl::Status Malformed() {
  return absl::InvalidArgumentError("the master's answer is no frame of the contract");
}

// Everything of a frame but its records, whose place is found on the way.
absl::StatusOr<v1::Frame> ParseFrame(std::string_view bytes, std::string_view& records) {
  CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                         static_cast<int>(bytes.size()));
  v1::Frame frame;
  size_t fields_begin = 0;
  while (const uint32_t tag = input.ReadTagNoLastTag()) {
    if (tag != kRecordsTag) {
      if (!WireFormatLite::SkipField(&input, tag)) return Malformed();
      continue;
    }
    const size_t before =
        static_cast<size_t>(input.CurrentPosition()) - CodedOutputStream::VarintSize32(kRecordsTag);
    uint32_t size = 0;
    if (!input.ReadVarint32(&size)) return Malformed();
    const auto at = static_cast<size_t>(input.CurrentPosition());
    if (size > bytes.size() - at || !input.Skip(static_cast<int>(size))) return Malformed();
    records = bytes.substr(at, size);
    const std::string_view fields = bytes.substr(fields_begin, before - fields_begin);
    if (!frame.MergeFromString(std::string(fields))) return Malformed();
    fields_begin = at + size;
  }
  if (static_cast<size_t>(input.CurrentPosition()) != bytes.size() ||
      !frame.MergeFromString(std::string(bytes.substr(fields_begin)))) {
    return Malformed();
  }
  return frame;
}

// More than the limit is one record: its length is its first field.
absl::Status CheckSize(std::string_view records) {
  if (records.size() <= kMaxFrameBytes) return absl::OkStatus();
  const uint64_t first = RoundUp(LoadLittle<uint32_t>(records.data()), kRecordAlignment);
  if (first == records.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("a frame with {} bytes of records; at most {} are taken, or one record",
                  records.size(), kMaxFrameBytes));
}

}  // namespace

uint32_t FrameChain::Extend(const FrameHeader& header, std::string_view records) {
  char fields[64];
  StoreLittle(fields, static_cast<uint64_t>(header.epoch.value()));
  StoreLittle(fields + 8, header.epoch_start.value());
  StoreLittle(fields + 16, header.offset.value());
  StoreLittle(fields + 24, header.confirm.value());
  StoreLittle(fields + 32, header.end.value());
  StoreLittle(fields + 40, header.begin.value());
  StoreLittle(fields + 48, header.segment_end.value());
  StoreLittle(fields + 56, ToUnixMillis(header.time));
  crc_ = ExtendCrc32c(ExtendCrc32c(crc_, {fields, sizeof(fields)}), records);
  return crc_;
}

grpc::ByteBuffer EncodeFrame(const FrameHeader& header, uint32_t crc, std::string_view records,
                             std::shared_ptr<const void> pin) {
  v1::Frame frame;
  frame.set_epoch(header.epoch.value());
  frame.set_epoch_start(header.epoch_start.value());
  frame.set_offset(header.offset.value());
  frame.set_crc32c(crc);
  frame.set_confirm(header.confirm.value());
  frame.set_end(header.end.value());
  frame.set_time_ms(ToUnixMillis(header.time));
  frame.set_begin(header.begin.value());
  frame.set_segment_end(header.segment_end.value());
  std::string fields = frame.SerializeAsString();
  if (!records.empty()) {
    AppendVarint(fields, kRecordsTag);
    AppendVarint(fields, records.size());
  }
  std::string front;
  AppendVarint(front, kFrameTag);
  AppendVarint(front, fields.size() + records.size());
  front += fields;
  const grpc::Slice slices[] = {CopiedSlice(front), PinnedSlice(records, std::move(pin))};
  return grpc::ByteBuffer(slices, records.empty() ? 1 : 2);
}

bool HasFrame(std::string_view response) {
  static_assert(kFrameTag < 128);
  return !response.empty() && static_cast<uint8_t>(response[0]) == kFrameTag;
}

absl::StatusOr<DecodedFrame> DecodeFrame(std::string_view response) {
  CodedInputStream input(reinterpret_cast<const uint8_t*>(response.data()),
                         static_cast<int>(response.size()));
  uint32_t size = 0;
  if (input.ReadTag() != kFrameTag || !input.ReadVarint32(&size)) return Malformed();
  const std::string_view bytes = response.substr(static_cast<size_t>(input.CurrentPosition()));
  if (bytes.size() != size) return Malformed();
  DecodedFrame decoded;
  ASSIGN_OR_RETURN(const v1::Frame frame, ParseFrame(bytes, decoded.records));
  RETURN_IF_ERROR(CheckSize(decoded.records));
  decoded.header.epoch = Epoch(frame.epoch());
  decoded.header.epoch_start = LogOffset(frame.epoch_start());
  decoded.header.offset = LogOffset(frame.offset());
  decoded.header.confirm = LogOffset(frame.confirm());
  decoded.header.end = LogOffset(frame.end());
  decoded.header.begin = LogOffset(frame.begin());
  decoded.header.segment_end = LogOffset(frame.segment_end());
  decoded.header.time = FromUnixMillis(frame.time_ms());
  decoded.crc = frame.crc32c();
  return decoded;
}

}  // namespace dunlin::replicator
