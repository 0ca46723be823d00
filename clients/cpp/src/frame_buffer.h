// FrameBuffer: the bytes of one frame, shared by the producer and by gRPC while it sends them.
// BufferPool: keeps buffers of the full size, which would cost page faults to make anew.
//
// The pool is thread-safe; a buffer belongs to one thread at a time until it is shared.

#pragma once

#include <grpcpp/support/slice.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "services/base/mutex.h"

namespace dunlin::internal {

class BufferPool {
 public:
  // Keeps up to `count` buffers of `size` bytes.
  BufferPool(size_t size, size_t count) : size_(size), count_(count) {}
  ~BufferPool();

  // At least `bytes`; `capacity` becomes what it is.
  char* Allocate(size_t bytes, size_t& capacity);
  void Free(char* data, size_t capacity);

 private:
  const size_t size_;
  const size_t count_;
  Mutex mutex_;
  std::vector<char*> free_ ABSL_GUARDED_BY(mutex_);
};

class FrameBuffer {
 public:
  FrameBuffer(std::shared_ptr<BufferPool> pool, size_t bytes);
  ~FrameBuffer();
  FrameBuffer(const FrameBuffer&) = delete;
  FrameBuffer& operator=(const FrameBuffer&) = delete;

  char* data() { return data_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  void set_size(size_t size) { size_ = size; }

  // Makes room for `bytes` behind size(). REQUIRES: not shared.
  void Reserve(size_t bytes) {
    if (capacity_ - size_ < bytes) Grow(bytes);
  }

  // `buffer` from `begin` to its end; keeps it as long as gRPC needs it.
  static grpc::Slice Share(const std::shared_ptr<FrameBuffer>& buffer, size_t begin);

 private:
  void Grow(size_t bytes);

  const std::shared_ptr<BufferPool> pool_;
  size_t capacity_ = 0;
  size_t size_ = 0;
  char* data_;
};

}  // namespace dunlin::internal
