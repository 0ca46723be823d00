#include "services/replicator/driver/raw_log_source.h"

#include <memory>
#include <utility>

#include "services/base/status_macros.h"
#include "services/store/log/raw_reader.h"

namespace dunlin::replicator {
namespace {

class RawLogSource final : public LogSource {
 public:
  explicit RawLogSource(std::unique_ptr<store::RawReader> reader) : reader_(std::move(reader)) {}

  absl::StatusOr<Piece> Read(LogOffset from, LogOffset limit, size_t max_bytes) override {
    ASSIGN_OR_RETURN(store::RawReader::Piece piece, reader_->Read(from, limit, max_bytes));
    return Piece{.begin = piece.begin,
                 .end = piece.end,
                 .segment_end = piece.segment_end,
                 .epoch = piece.epoch,
                 .bytes = piece.bytes,
                 .pin = std::move(piece.pin)};
  }

 private:
  const std::unique_ptr<store::RawReader> reader_;
};

}  // namespace

OpenLogSource OpenRawLog(FileSystem& files, const std::string& directory) {
  return [&files, directory]() -> absl::StatusOr<std::unique_ptr<LogSource>> {
    ASSIGN_OR_RETURN(std::unique_ptr<store::RawReader> reader,
                     store::RawReader::Open(files, directory));
    return std::make_unique<RawLogSource>(std::move(reader));
  };
}

}  // namespace dunlin::replicator
