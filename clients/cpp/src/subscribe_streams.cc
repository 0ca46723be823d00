#include "clients/cpp/src/subscribe_streams.h"

#include <algorithm>
#include <utility>

namespace dunlin::internal {

SubscribeStream& SubscribeStreams::At(const BrokerRoute& broker) {
  std::shared_ptr<Connection> server = connection_->To(broker.endpoint);
  std::unique_ptr<SubscribeStream>& stream = streams_[broker.broker];
  if (stream == nullptr) {
    stream =
        std::make_unique<SubscribeStream>(std::move(server), group_, max_buffered_bytes_, host_);
  } else {
    stream->MoveTo(std::move(server));
  }
  stream->SetWanted(true);
  stream->Start();
  return *stream;
}

void SubscribeStreams::SetWanted(const std::set<const SubscribeStream*>& wanted) {
  for (const auto& [broker, stream] : streams_) stream->SetWanted(wanted.contains(stream.get()));
}

std::vector<SubscribeStream*> SubscribeStreams::All() const {
  std::vector<SubscribeStream*> all;
  all.reserve(streams_.size());
  for (const auto& [broker, stream] : streams_) all.push_back(stream.get());
  return all;
}

void ShutDown(const std::vector<SubscribeStream*>& streams, std::chrono::milliseconds patience) {
  const SteadyTime deadline = steady_clock::now() + patience;
  for (SubscribeStream* stream : streams) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    stream->Shutdown(std::max(left, std::chrono::milliseconds(0)));
  }
}

}  // namespace dunlin::internal
