// Reads all queues of a topic from their beginnings, commits, and ends when nothing more comes.
//
//   pull_consumer [ENDPOINT [TOPIC [GROUP]]]

#include <dunlin/client.h>
#include <dunlin/pull_consumer.h>

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
  dunlin::PullConsumerOptions options;
  options.group = argc > 3 ? argv[3] : "pull-example";
  absl::StatusOr<dunlin::PullConsumer> consumer = client->MakePullConsumer(options);
  if (!consumer.ok()) {
    std::fprintf(stderr, "%s\n", consumer.status().ToString().c_str());
    return 1;
  }
  const auto queues =
      consumer->AssignAll(argc > 2 ? argv[2] : "hello", dunlin::StartAt::Committed());
  if (!queues.ok()) {
    std::fprintf(stderr, "%s\n", queues.status().ToString().c_str());
    return 1;
  }
  size_t messages = 0;
  size_t bytes = 0;
  for (;;) {
    const absl::StatusOr<dunlin::MessageBatch> batch = consumer->Poll(std::chrono::seconds(2));
    if (!batch.ok()) {
      std::fprintf(stderr, "%s\n", batch.status().ToString().c_str());
      return 1;
    }
    if (batch->empty()) break;
    for (const dunlin::MessageView& message : *batch) bytes += message.body().size();
    messages += batch->size();
    consumer->Commit(batch->topic(), batch->queue(), batch->next_offset()).IgnoreError();
  }
  std::printf("%zu messages, %zu bytes of bodies in %u queues\n", messages, bytes, *queues);
  return 0;
}
