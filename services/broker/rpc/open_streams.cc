#include "services/broker/rpc/open_streams.h"

#include <vector>

namespace dunlin::broker {

void OpenStreams::Add(const std::shared_ptr<OpenStream>& stream) {
  {
    MutexLock lock(mutex_);
    if (!stopping_) {
      streams_.emplace(stream.get(), stream);
      return;
    }
  }
  stream->EndForStop();
}

void OpenStreams::Remove(const OpenStream* stream) {
  MutexLock lock(mutex_);
  streams_.erase(stream);
}

void OpenStreams::Stop() {
  std::vector<std::shared_ptr<OpenStream>> open;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& [key, weak] : streams_) {
      if (std::shared_ptr<OpenStream> stream = weak.lock(); stream != nullptr) {
        open.push_back(std::move(stream));
      }
    }
    streams_.clear();
  }
  for (const std::shared_ptr<OpenStream>& stream : open) stream->EndForStop();
}

}  // namespace dunlin::broker
