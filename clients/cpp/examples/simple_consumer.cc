// Receives messages in batches and acknowledges them, until none has come for five seconds.
//
//   simple_consumer [ENDPOINT [TOPIC [GROUP]]]

#include <dunlin/client.h>
#include <dunlin/simple_consumer.h>

#include <chrono>
#include <cstdio>

#include "client_options.h"

int main(int argc, char** argv) {
  const absl::StatusOr<dunlin::Client> client =
      dunlin::Client::Connect(ClientOptionsOf(argc > 1 ? argv[1] : nullptr));
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  dunlin::SimpleConsumerOptions options;
  options.group = argc > 3 ? argv[3] : "simple-example";
  absl::StatusOr<dunlin::SimpleConsumer> consumer = client->MakeSimpleConsumer(options);
  if (!consumer.ok()) {
    std::fprintf(stderr, "%s\n", consumer.status().ToString().c_str());
    return 1;
  }
  const absl::Status subscribed = consumer->Subscribe(argc > 2 ? argv[2] : "hello");
  if (!subscribed.ok()) {
    std::fprintf(stderr, "%s\n", subscribed.ToString().c_str());
    return 1;
  }
  for (;;) {
    const auto messages = consumer->Receive(32, std::chrono::seconds(5));
    if (!messages.ok()) {
      std::fprintf(stderr, "%s\n", messages.status().ToString().c_str());
      return 1;
    }
    if (messages->empty()) return 0;
    for (const dunlin::ReceivedMessage& message : *messages) {
      std::printf("%.*s\n", static_cast<int>(message.body().size()), message.body().data());
      consumer->Ack(message).IgnoreError();  // if it comes too late, the message comes again
    }
  }
}
