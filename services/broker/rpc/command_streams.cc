#include "services/broker/rpc/command_streams.h"

#include <string>

namespace dunlin::broker {

void CommandStreams::Add(std::string_view client_id, CommandStream& stream) {
  MutexLock lock(mutex_);
  streams_[std::string(client_id)].push_back(&stream);
}

void CommandStreams::Remove(std::string_view client_id, CommandStream& stream) {
  MutexLock lock(mutex_);
  auto client = streams_.find(client_id);
  if (client == streams_.end()) return;
  std::erase(client->second, &stream);
  if (client->second.empty()) streams_.erase(client);
}

bool CommandStreams::Send(std::string_view client_id,
                          const apache::rocketmq::v2::TelemetryCommand& command) {
  MutexLock lock(mutex_);
  auto client = streams_.find(client_id);
  if (client == streams_.end()) return false;
  for (CommandStream* stream : client->second) stream->Send(command);
  return true;
}

}  // namespace dunlin::broker
