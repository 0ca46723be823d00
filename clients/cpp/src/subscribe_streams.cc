#include "clients/cpp/src/subscribe_streams.h"

#include <algorithm>
#include <utility>

namespace dunlin::internal {
namespace {

// A reader that is sent away asks again with each frame until the call is open: what nobody has
// asked for in so long nobody waits for.
constexpr std::chrono::seconds kUnused{3};

}  // namespace

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

SubscribeStream& SubscribeStreams::AtSlave(const std::string& broker, const SlaveRoute& slave) {
  Slave& known = slaves_[{broker, slave.id}];
  if (known.stream == nullptr) {
    known.stream = std::make_unique<SubscribeStream>(connection_->To(slave.endpoint), group_,
                                                     max_buffered_bytes_, host_);
  } else if (known.endpoint != slave.endpoint) {
    known.stream->MoveTo(connection_->To(slave.endpoint));
  }
  known.endpoint = slave.endpoint;
  known.used_at = steady_clock::now();
  known.resting = false;
  known.stream->SetWanted(true);
  known.stream->Start();
  return *known.stream;
}

const SubscribeStream* SubscribeStreams::FindSlave(const std::string& broker,
                                                   const SlaveRoute& slave) const {
  const auto known = slaves_.find({broker, slave.id});
  if (known == slaves_.end() || known->second.endpoint != slave.endpoint) return nullptr;
  return known->second.stream.get();
}

bool SubscribeStreams::IsToSlave(const SubscribeStream& stream) const {
  return std::any_of(slaves_.begin(), slaves_.end(),
                     [&stream](const auto& slave) { return slave.second.stream.get() == &stream; });
}

void SubscribeStreams::SetWanted(const std::set<const SubscribeStream*>& wanted) {
  for (const auto& [broker, stream] : streams_) stream->SetWanted(wanted.contains(stream.get()));
  for (const auto& [member, slave] : slaves_) {
    slave.stream->SetWanted(wanted.contains(slave.stream.get()));
  }
}

bool SubscribeStreams::EndUnused(const std::set<const SubscribeStream*>& wanted, SteadyTime now) {
  bool any = false;
  for (auto& [member, slave] : slaves_) {
    if (slave.resting) continue;
    if (wanted.contains(slave.stream.get())) {
      slave.used_at = now;
    } else if (now - slave.used_at >= kUnused) {
      slave.resting = true;
      slave.stream->Rest();
      continue;
    }
    any = true;
  }
  return any;
}

std::vector<SubscribeStream*> SubscribeStreams::All() const {
  std::vector<SubscribeStream*> all;
  all.reserve(streams_.size() + slaves_.size());
  for (const auto& [broker, stream] : streams_) all.push_back(stream.get());
  for (const auto& [member, slave] : slaves_) all.push_back(slave.stream.get());
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
