#include "services/store/log/raw_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/bytes.h"
#include "services/base/status_macros.h"
#include "services/store/log/record_codec.h"

namespace dunlin::store {

RawReader::RawReader(FileSystem& files, std::string directory, std::unique_ptr<ControlPage> page,
                     std::unique_ptr<SegmentSet> segments)
    : files_(files),
      directory_(std::move(directory)),
      page_(std::move(page)),
      segments_(std::move(segments)) {}

absl::StatusOr<std::unique_ptr<RawReader>> RawReader::Open(FileSystem& files,
                                                           const std::string& directory) {
  ASSIGN_OR_RETURN(std::unique_ptr<SegmentSet> segments,
                   SegmentSet::OpenEmptyForReading(files, directory + "/log"));
  ASSIGN_OR_RETURN(std::unique_ptr<ControlPage> page,
                   ControlPage::Open(files, directory + "/control"));
  auto reader = std::unique_ptr<RawReader>(
      new RawReader(files, directory, std::move(page), std::move(segments)));
  RETURN_IF_ERROR(reader->RefreshEpochs());
  return reader;
}

absl::StatusOr<Epochs> RawReader::ReadEpochs() const {
  return Epochs::Load(files_, directory_ + "/epochs");
}

absl::Status RawReader::RefreshEpochs() {
  // In this order: the writer saves the file before it tells of it on the page.
  const Epoch as_of = page_->log_epoch();
  ASSIGN_OR_RETURN(epochs_, ReadEpochs());
  epochs_as_of_ = as_of;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Segment>> RawReader::FindSegment(LogOffset offset) {
  std::shared_ptr<Segment> segment = segments_->Find(offset);
  if (segment != nullptr) return segment;
  RETURN_IF_ERROR(segments_->Refresh(offset, offset + 1));
  segment = segments_->Find(offset);
  if (segment != nullptr) return segment;
  if (offset < start()) {
    return absl::NotFoundError(fmt::format("log offset {} has expired; the log begins at {}",
                                           offset.value(), start().value()));
  }
  return absl::DataLossError(fmt::format("log offset {}: its segment is missing", offset.value()));
}

absl::StatusOr<RawReader::Piece> RawReader::Read(LogOffset from, LogOffset limit,
                                                 size_t max_bytes) {
  limit = std::min(limit, end());
  if (from < start()) {
    return absl::NotFoundError(fmt::format("log offset {} has expired; the log begins at {}",
                                           from.value(), start().value()));
  }
  if (from >= limit) {
    return absl::OutOfRangeError(
        fmt::format("nothing is to be read yet from log offset {} on", from.value()));
  }
  if (page_->log_epoch() != epochs_as_of_) RETURN_IF_ERROR(RefreshEpochs());
  if (segment_ == nullptr || from < segment_->begin() || from >= segment_->end()) {
    ASSIGN_OR_RETURN(segment_, FindSegment(from));
  }
  ASSIGN_OR_RETURN(const RecordHeader first,
                   CheckHeader(segment_->From(from), {from, epochs_.At(from)}));

  Piece piece;
  piece.begin = from;
  piece.segment_end = segment_->end();
  piece.epoch = first.epoch;
  piece.pin = segment_;
  LogOffset at = from;  // what is read ends here
  piece.end = from;
  const LogOffset bound = std::min({limit, segment_->end(), epochs_.EndAt(from)});
  while (piece.end < bound) {
    const absl::StatusOr<RecordHeader> header = CheckHeader(segment_->From(at), {at, piece.epoch});
    if (!header.ok()) break;  // where a piece begins it is told of
    const uint64_t space = RoundUp(header->length, kRecordAlignment);
    const bool padding = header->kind == RecordKind::kPadding;
    LogOffset next = at + space;
    if (padding || segment_->end() - next < kRecordHeaderSize) next = segment_->end();
    if (next > limit || (at > from && at - from + space > max_bytes)) break;
    at += space;
    piece.end = next;
    if (next == segment_->end()) break;
  }
  if (at == from) {
    return absl::OutOfRangeError(
        fmt::format("no whole record between log offsets {} and {}", from.value(), limit.value()));
  }
  piece.bytes = segment_->From(from).substr(0, at - from);
  return piece;
}

}  // namespace dunlin::store
