#include "clients/cpp/src/received_frame.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/src/gzip.h"
#include "clients/cpp/src/record_header.h"
#include "clients/cpp/src/wire.h"
#include "services/base/crc32c.h"

namespace dunlin::internal {
namespace {

// A repeated integer: packed, as everybody writes it, or not.
template <typename Integer>
bool AddIntegers(const WireField& field, std::vector<Integer>& to) {
  if (field.bytes.empty()) {
    to.push_back(static_cast<Integer>(field.varint));
    return true;
  }
  const char* at = field.bytes.data();
  const char* const end = at + field.bytes.size();
  while (at != end) {
    uint64_t value = 0;
    if (!GetVarint(at, end, value)) return false;
    to.push_back(static_cast<Integer>(value));
  }
  return true;
}

// Field 4 of a serialised Message. False: it is malformed.
bool FindBody(std::string_view payload, std::string_view& body) {
  constexpr uint32_t kBody = 4;
  WireReader reader(payload);
  for (WireField field; reader.Next(field);) {
    if (field.number != kBody) continue;
    body = field.bytes;
    return true;
  }
  return reader.ok();
}

}  // namespace

std::shared_ptr<ReceivedFrame> ReceivedFrame::Parse(const grpc::Slice& response,
                                                    std::string_view field) {
  std::shared_ptr<ReceivedFrame> frame(new ReceivedFrame(response));
  return frame->ParseField(field) ? frame : nullptr;
}

bool ReceivedFrame::ParseField(std::string_view frame) {
  WireReader reader(frame);
  bool ok = true;
  for (;;) {
    WireField field;
    if (!reader.Next(field)) break;
    switch (field.number) {
      case 1:
        binding_ = static_cast<uint32_t>(field.varint);
        break;
      case 2:
        next_offset_ = field.varint;
        break;
      case 3:
        bytes_ = field.bytes;
        break;
      case 4:
        ok = ok && AddIntegers(field, leases_);
        break;
      case 5:
        ok = ok && AddIntegers(field, attempts_);
        break;
      case 6:
        max_offset_ = field.varint;
        break;
      case 7:
        cold_ = field.varint != 0;
        break;
      default:
        break;
    }
  }
  return ok && reader.ok();
}

bool ReceivedFrame::Check(bool skip_damaged, size_t max_body_bytes) {
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    if (rest.size() < kRecordHeaderSize) return false;
    const uint32_t length = RecordLength(rest.data());
    if (length < kRecordHeaderSize || length > rest.size()) return false;
    if (records_.empty()) records_.reserve(rest.size() / length + 1);
    if (!CheckRecord(rest.data(), length, max_body_bytes) && !skip_damaged) return false;
    ++position_;
    const size_t padded = (size_t{length} + kRecordAlignment - 1) & ~size_t{kRecordAlignment - 1};
    rest.remove_prefix(std::min(padded, rest.size()));
  }
  return true;
}

bool ReceivedFrame::CheckRecord(const char* record, uint32_t length, size_t max_body_bytes) {
  const std::string_view covered(record + kRecordCrcBegin, length - kRecordCrcBegin);
  if (Crc32c(covered) != RecordCrc(record) || RecordKind(record) != kRecordOfMessage) return false;
  RecordRef ref{record, position_, {}};
  if (!FindBody({record + kRecordHeaderSize, length - kRecordHeaderSize}, ref.body)) return false;
  if ((RecordFlags(record) & kRecordCompressed) != 0) {
    absl::StatusOr<std::string> plain = GzipDecompress(ref.body, max_body_bytes);
    if (!plain.ok()) return false;
    ref.body = inflated_.emplace_back(*std::move(plain));
  }
  records_.push_back(ref);
  return true;
}

}  // namespace dunlin::internal
