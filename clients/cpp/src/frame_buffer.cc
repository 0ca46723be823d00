#include "clients/cpp/src/frame_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace dunlin::internal {

BufferPool::~BufferPool() {
  for (char* data : free_) delete[] data;
}

char* BufferPool::Allocate(size_t bytes, size_t& capacity) {
  // Half of the full size is as good as the full size.
  capacity = bytes > size_ / 2 && bytes <= size_ ? size_ : bytes;
  if (capacity == size_) {
    MutexLock lock(mutex_);
    if (!free_.empty()) {
      char* data = free_.back();
      free_.pop_back();
      return data;
    }
  }
  return new char[capacity];
}

void BufferPool::Free(char* data, size_t capacity) {
  if (capacity == size_) {
    MutexLock lock(mutex_);
    if (free_.size() < count_) {
      free_.push_back(data);
      return;
    }
  }
  delete[] data;
}

FrameBuffer::FrameBuffer(std::shared_ptr<BufferPool> pool, size_t bytes)
    : pool_(std::move(pool)), data_(pool_->Allocate(bytes, capacity_)) {}

FrameBuffer::~FrameBuffer() { pool_->Free(data_, capacity_); }

void FrameBuffer::Grow(size_t bytes) {
  size_t capacity = 0;
  char* data = pool_->Allocate(std::max(2 * capacity_, size_ + bytes), capacity);
  std::memcpy(data, data_, size_);
  pool_->Free(data_, capacity_);
  data_ = data;
  capacity_ = capacity;
}

grpc::Slice FrameBuffer::Share(const std::shared_ptr<FrameBuffer>& buffer, size_t begin) {
  return {buffer->data() + begin, buffer->size() - begin,
          [](void* held) { delete static_cast<std::shared_ptr<FrameBuffer>*>(held); },
          new std::shared_ptr<FrameBuffer>(buffer)};
}

}  // namespace dunlin::internal
