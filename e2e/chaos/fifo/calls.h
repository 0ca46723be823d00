// The calls of apache.rocketmq.v2 that the FIFO bench makes, through a broker that comes and goes.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "e2e/harness/client.h"

namespace dunlin::e2e::fifo {

// A message of the bench, as its body says: "group number".
struct Name {
  int32_t group = 0;
  int32_t number = 0;
};
std::string BodyOf(const Name& name);
std::string MessageGroupOf(int32_t group);
// Nullopt when the body is not one of the bench.
std::optional<Name> NameOf(std::string_view body);

// A topic that takes FIFO, and a consumer group that consumes it in order and never gives up.
absl::Status CreateTopic(const std::string& address, const std::string& topic, uint32_t queues);
absl::Status CreateOrderedGroup(const std::string& address, const std::string& group);

// Adds one to a request.
void AddMessage(v2::SendMessageRequest& request, const std::string& topic, const Name& name);

// A connection of one thread. After a call that failed it waits a moment and connects anew.
class Link {
 public:
  Link(std::string address, int number);

  // Whether all of it was stored.
  bool Send(const v2::SendMessageRequest& request);
  // False: the answer, if there was one, is not known as a whole.
  bool Receive(const v2::ReceiveMessageRequest& request, std::vector<v2::Message>& messages);
  // Whatever comes of the next two, a message is done, or comes again.
  void Acknowledge(const v2::ReceiveMessageRequest& received,
                   const std::vector<const v2::Message*>& messages);
  void Refuse(const v2::ReceiveMessageRequest& received, const v2::Message& message,
              std::chrono::milliseconds delay);

 private:
  void Connect();
  bool Check(const grpc::Status& status);

  const std::string address_;
  const int number_;
  std::unique_ptr<v2::MessagingService::Stub> stub_;
};

// `id` may be empty.
v2::ReceiveMessageRequest ReceiveRequest(const std::string& topic, const std::string& group,
                                         int batch, std::chrono::seconds lease,
                                         const std::string& attempt_id);

}  // namespace dunlin::e2e::fifo
