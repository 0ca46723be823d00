// Prints what comes, as a member of a consumer group, until Enter is pressed.
//
//   push_consumer [ENDPOINT [TOPIC [GROUP]]]

#include <dunlin/client.h>
#include <dunlin/push_consumer.h>

#include <cstdio>

#include "client_options.h"

int main(int argc, char** argv) {
  const absl::StatusOr<dunlin::Client> client =
      dunlin::Client::Connect(ClientOptionsOf(argc > 1 ? argv[1] : nullptr));
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  dunlin::PushConsumerOptions options;
  options.subscriptions = {{argc > 2 ? argv[2] : "hello"}};
  options.group = argc > 3 ? argv[3] : "push-example";
  options.listener = [](const dunlin::ReceivedMessage& message) {
    std::printf("%.*s (attempt %u)\n", static_cast<int>(message.body().size()),
                message.body().data(), message.attempt());
    return dunlin::ConsumeResult::kAck;
  };
  absl::StatusOr<dunlin::PushConsumer> consumer = client->MakePushConsumer(options);
  if (!consumer.ok()) {
    std::fprintf(stderr, "%s\n", consumer.status().ToString().c_str());
    return 1;
  }
  std::getchar();
  consumer->Close();
  return 0;
}
