// Sends ten messages one by one, then a hundred thousand as fast as they go.
//
//   produce [ENDPOINT [TOPIC]]

#include <dunlin/client.h>
#include <dunlin/producer.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>

#include "client_options.h"

int main(int argc, char** argv) {
  const absl::StatusOr<dunlin::Client> client =
      dunlin::Client::Connect(ClientOptionsOf(argc > 1 ? argv[1] : nullptr));
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  std::atomic<size_t> stored{0};
  dunlin::ProducerOptions options;
  options.on_delivery = [&stored](const dunlin::DeliveryReport& report) {
    if (report.status.ok()) stored += report.count;
  };
  absl::StatusOr<dunlin::Producer> producer = client->MakeProducer(options);
  if (!producer.ok()) {
    std::fprintf(stderr, "%s\n", producer.status().ToString().c_str());
    return 1;
  }

  dunlin::Message message;
  message.topic = argc > 2 ? argv[2] : "hello";
  message.tag = "greeting";
  for (int i = 0; i < 10; ++i) {
    message.body = "message " + std::to_string(i);
    const absl::StatusOr<dunlin::Receipt> receipt = producer->Send(message);
    if (!receipt.ok()) {
      std::fprintf(stderr, "%s\n", receipt.status().ToString().c_str());
      return 1;
    }
    std::printf("%s in queue %u at %lld\n", receipt->message_id().c_str(), receipt->queue,
                static_cast<long long>(receipt->offset));
  }

  for (int i = 0; i < 100'000; ++i) {
    const absl::Status status = producer->SendAsync(message);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  }
  const absl::Status flushed = producer->Flush(std::chrono::seconds(30));
  std::printf("%zu stored, %s\n", stored.load(), flushed.ToString().c_str());
  return flushed.ok() ? 0 : 1;
}
