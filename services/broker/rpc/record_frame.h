// RecordFrame: a SubscribeResponse with records of the log in it; slices of the mapped log where
// there is enough in one piece, copies where there is not.

#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "services/base/strong_int.h"
#include "services/store/log/record_view.h"

namespace dunlin::broker {

class RecordFrame {
 public:
  // As it stands in the log.
  void Add(const store::RecordView& record);
  // The payload of `record` as if it stood at `queue` and `offset`: a dead letter.
  void AddAs(const store::RecordView& record, QueueKey queue, QueueOffset offset);
  // Of the record added last; all or none have one.
  void AddLease(uint64_t lease, uint32_t attempt);

  bool empty() const { return pieces_.empty(); }
  size_t bytes() const { return bytes_; }

  // The response, and how large it is.
  struct Encoded {
    grpc::ByteBuffer buffer;
    size_t size = 0;
  };
  struct Position {
    uint64_t next_offset = 0;
    uint64_t max_offset = 0;
    bool cold = false;
  };
  Encoded Encode(uint32_t binding, const Position& position) const;

 private:
  struct Piece {
    std::string_view bytes;
    std::shared_ptr<const void> pin;
  };

  std::vector<Piece> pieces_;
  size_t bytes_ = 0;
  std::vector<uint64_t> leases_;
  std::vector<uint32_t> attempts_;
  bool retried_ = false;  // an attempt is not 1
};

}  // namespace dunlin::broker
