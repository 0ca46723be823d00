#include "clients/cpp/src/gzip.h"

#include <zlib.h>

#include <algorithm>

namespace dunlin::internal {
namespace {

constexpr int kGzipWindow = 15 + 16;  // the largest window; 16: with a GZIP header

Bytef* Input(std::string_view bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

}  // namespace

std::string GzipCompress(std::string_view plain) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return {};
  }
  std::string out(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = Input(plain);
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int code = deflate(&stream, Z_FINISH);
  out.resize(code == Z_STREAM_END ? stream.total_out : 0);
  deflateEnd(&stream);
  return out;
}

absl::StatusOr<std::string> GzipDecompress(std::string_view compressed, size_t max_bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to decompress a body");
  }
  stream.next_in = Input(compressed);
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::string out(std::min(max_bytes, 4 * compressed.size() + 64), '\0');
  int code = Z_OK;
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(out.data()) + stream.total_out;
    stream.avail_out = static_cast<uInt>(out.size() - stream.total_out);
    code = inflate(&stream, Z_FINISH);
    if (code != Z_BUF_ERROR || stream.avail_out != 0 || out.size() >= max_bytes) break;
    out.resize(std::min(max_bytes, 2 * out.size()));
  }
  const bool full = stream.avail_out == 0;
  out.resize(stream.total_out);
  inflateEnd(&stream);
  if (code == Z_STREAM_END) return out;
  if (full) return absl::ResourceExhaustedError("a compressed body is too large");
  return absl::DataLossError("a compressed body is damaged");
}

}  // namespace dunlin::internal
