#include "services/store/state/producer_row.h"

#include "services/base/bytes.h"

namespace dunlin::store {
namespace {

constexpr size_t kSize = 20;

}  // namespace

std::string EncodeProducerRow(const ProducerRow& row) {
  std::string bytes(kSize, '\0');
  StoreLittle(bytes.data(), row.log_offset.value());
  StoreLittle(bytes.data() + 8, row.first_sequence);
  StoreLittle(bytes.data() + 16, row.count);
  return bytes;
}

absl::StatusOr<ProducerRow> DecodeProducerRow(std::string_view bytes) {
  if (bytes.size() != kSize) return absl::DataLossError("not a row of the producers");
  return ProducerRow{LogOffset(LoadLittle<uint64_t>(bytes.data())),
                     LoadLittle<uint64_t>(bytes.data() + 8),
                     LoadLittle<uint32_t>(bytes.data() + 16)};
}

}  // namespace dunlin::store
