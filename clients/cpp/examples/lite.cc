// Two sessions, each a lightweight topic of its own, and a consumer of both.
//
//   dunlinctl topic create sessions --kinds LITE --lite-expiration-minutes 60
//   dunlinctl group create agents --lite-bind-topic sessions
//   lite [ENDPOINT [TOPIC [GROUP]]]

#include <dunlin/client.h>
#include <dunlin/lite_producer.h>
#include <dunlin/lite_push_consumer.h>

#include <atomic>
#include <cstdio>
#include <string>

#include "client_options.h"

namespace {

constexpr int kMessages = 5;

absl::Status Run(const std::string& endpoint, const std::string& topic, const std::string& group) {
  const absl::StatusOr<dunlin::Client> client =
      dunlin::Client::Connect(ClientOptionsOf(endpoint.c_str()));
  if (!client.ok()) return client.status();

  std::atomic<int> received{0};
  dunlin::LitePushConsumerOptions options;
  options.topic = topic;
  options.group = group;
  options.listener = [&received](const dunlin::ReceivedLiteMessage& message) {
    std::printf("%s: %s\n", message.lite_topic.c_str(), message.body.c_str());
    ++received;
    received.notify_one();
    return dunlin::ConsumeResult::kAck;
  };
  absl::StatusOr<dunlin::LitePushConsumer> consumer = client->MakeLitePushConsumer(options);
  if (!consumer.ok()) return consumer.status();
  const absl::StatusOr<dunlin::LiteProducer> producer = client->MakeLiteProducer({});
  if (!producer.ok()) return producer.status();
  for (const char* session : {"session-1", "session-2"}) {
    const absl::Status status = consumer->Subscribe(session);
    if (!status.ok()) return status;
    for (int i = 0; i < kMessages; ++i) {
      dunlin::Message message;
      message.topic = topic;
      message.lite_topic = session;
      message.body = "message " + std::to_string(i);
      const absl::StatusOr<dunlin::LiteReceipt> sent = producer->Send(message);
      if (!sent.ok()) return sent.status();
    }
  }
  for (int now = received; now < 2 * kMessages; now = received) received.wait(now);
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const absl::Status status = Run(argc > 1 ? argv[1] : "127.0.0.1:8081",
                                  argc > 2 ? argv[2] : "sessions", argc > 3 ? argv[3] : "agents");
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
