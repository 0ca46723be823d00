#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/cluster.h"
#include "clients/cli/commands.h"
#include "clients/cli/message_text.h"

namespace dunlin::cli {
namespace {

namespace v2 = apache::rocketmq::v2;

// The longest a poll is held by the server; a longer wait is several polls.
constexpr int kPollSeconds = 20;

struct ConsumeOptions {
  std::string topic;
  std::string group;
  std::string tag = "*";
  std::string sql;  // empty: by tag
  std::vector<std::string> lite_topics;
  int count = 0;
  int wait_seconds = 5;
  int invisible_seconds = 30;
  bool follow = false;
  bool no_ack = false;
};

struct Received {
  std::vector<v2::Message> messages;
  int exit = kOk;
};

Received Receive(Connection& connection, const ConsumeOptions& options, int batch, int wait) {
  v2::ReceiveMessageRequest request;
  request.mutable_group()->set_resource_namespace(connection.options().name_space);
  request.mutable_group()->set_name(options.group);
  v2::MessageQueue& queue = *request.mutable_message_queue();
  queue.mutable_topic()->set_resource_namespace(connection.options().name_space);
  queue.mutable_topic()->set_name(options.topic);
  queue.set_id(-1);
  request.mutable_filter_expression()->set_type(options.sql.empty() ? v2::TAG : v2::SQL);
  request.mutable_filter_expression()->set_expression(options.sql.empty() ? options.tag
                                                                          : options.sql);
  request.set_batch_size(batch);
  request.mutable_invisible_duration()->set_seconds(options.invisible_seconds);
  request.mutable_long_polling_timeout()->set_seconds(wait);
  const auto context = connection.Context(std::chrono::seconds(wait));
  const auto stream = connection.messaging().ReceiveMessage(context.get(), request);
  Received received;
  v2::ReceiveMessageResponse element;
  while (stream->Read(&element)) {
    if (element.has_message()) received.messages.push_back(element.message());
    if (element.has_status() && element.status().code() != v2::OK &&
        element.status().code() != v2::MESSAGE_NOT_FOUND) {
      received.exit = connection.Report(element.status());
    }
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) received.exit = connection.Report(status);
  return received;
}

int Ack(Connection& connection, const ConsumeOptions& options,
        const std::vector<v2::Message>& messages) {
  v2::AckMessageRequest request;
  request.mutable_group()->set_resource_namespace(connection.options().name_space);
  request.mutable_group()->set_name(options.group);
  request.mutable_topic()->set_resource_namespace(connection.options().name_space);
  request.mutable_topic()->set_name(options.topic);
  for (const v2::Message& message : messages) {
    v2::AckMessageEntry& entry = *request.add_entries();
    entry.set_message_id(message.system_properties().message_id());
    entry.set_receipt_handle(message.system_properties().receipt_handle());
  }
  v2::AckMessageResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.messaging().AckMessage(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  return connection.Report(response.status());
}

// Its group may consume with another filter at once.
void Leave(Connection& connection, const ConsumeOptions& options) {
  v2::NotifyClientTerminationRequest request;
  request.mutable_group()->set_resource_namespace(connection.options().name_space);
  request.mutable_group()->set_name(options.group);
  v2::NotifyClientTerminationResponse response;
  const auto context = connection.Context();
  // Without it the broker forgets the client a while later.
  connection.messaging().NotifyClientTermination(context.get(), request, &response);
}

// Tells which lightweight topics this client wants.
int Subscribe(Connection& connection, const ConsumeOptions& options) {
  v2::SyncLiteSubscriptionRequest request;
  request.set_action(v2::PARTIAL_ADD);
  request.mutable_group()->set_resource_namespace(connection.options().name_space);
  request.mutable_group()->set_name(options.group);
  request.mutable_topic()->set_resource_namespace(connection.options().name_space);
  request.mutable_topic()->set_name(options.topic);
  for (const std::string& name : options.lite_topics) request.add_lite_topic_set(name);
  v2::SyncLiteSubscriptionResponse response;
  const auto context = connection.Context();
  const grpc::Status status =
      connection.messaging().SyncLiteSubscription(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  return connection.Report(response.status());
}

// What one broker has, printed and acknowledged; how many messages.
int ConsumeFrom(Connection& connection, const ConsumeOptions& options, int batch, int wait,
                int& count) {
  const Received received = Receive(connection, options, batch, wait);
  count = static_cast<int>(received.messages.size());
  if (received.exit != kOk) return received.exit;
  for (const v2::Message& message : received.messages) {
    std::fputs(connection.options().format == Format::kJson ? Json(message).c_str()
                                                            : MessageText(message).c_str(),
               stdout);
  }
  std::fflush(stdout);
  if (count == 0 || options.no_ack) return kOk;
  return Ack(connection, options, received.messages);
}

// From each broker in turn.
int ConsumeAll(const std::vector<Broker>& brokers, const ConsumeOptions& options) {
  int left = options.count;
  int waited = 0;
  for (size_t turn = 0;; ++turn) {
    const int batch = options.count == 0 ? 32 : std::min(left, 32);
    int wait =
        options.follow ? kPollSeconds : std::min(options.wait_seconds - waited, kPollSeconds);
    // Another one may have some. The first look at each does not wait.
    const bool is_first = turn < brokers.size();
    if (brokers.size() > 1) wait = is_first ? 0 : std::min(wait, 1);
    int count = 0;
    Connection& connection = *brokers[turn % brokers.size()].connection;
    const int exit = ConsumeFrom(connection, options, batch, std::max(wait, 0), count);
    if (exit != kOk) return exit;
    if (count > 0) {
      waited = 0;
      left -= count;
      if (options.count != 0 && left <= 0) return kOk;
      continue;
    }
    if (brokers.size() > 1 && is_first) continue;
    waited += std::max(wait, 1);
    if (options.follow || waited < options.wait_seconds) continue;
    if (options.count == 0) return kOk;
    fmt::print(stderr, "dunlinctl: {} of {} messages came within {} s of each other\n",
               options.count - left, options.count, options.wait_seconds);
    return kNotFound;
  }
}

int Consume(Connection& connection, const ConsumeOptions& options) {
  std::vector<Broker> brokers;
  if (const int exit = FindHolders(connection, options.topic, false, brokers); exit != kOk) {
    return exit;
  }
  int exit = kOk;
  for (const Broker& broker : brokers) {
    if (options.lite_topics.empty() || exit != kOk) break;
    exit = Subscribe(*broker.connection, options);
  }
  if (exit == kOk) exit = ConsumeAll(brokers, options);
  if (exit == kUnreachable) return exit;
  for (const Broker& broker : brokers) Leave(*broker.connection, options);
  return exit;
}

}  // namespace

void AddConsumeCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<ConsumeOptions>();
  CLI::App& consume = *app.add_subcommand(
      "consume", "Receive messages for a consumer group, print and acknowledge them");
  consume.add_option("TOPIC", options->topic, "Where from")->required();
  consume.add_option("--group", options->group, "Consumer group; made when it does not exist")
      ->required();
  consume.add_option("--count", options->count, "Stop after so many; fail when fewer come")
      ->check(CLI::PositiveNumber);
  CLI::Option* const tag = consume.add_option("--tag", options->tag, "Only these tags: 'a || b'");
  consume
      .add_option("--filter-sql", options->sql,
                  "Only messages whose properties fulfil this predicate, as in \"price > 10 AND "
                  "TAGS IN ('new', 'paid')\"; see docs/filters.md")
      ->check([](const std::string& text) {
        return text.empty() ? "an empty predicate; leave the option out" : "";
      })
      ->excludes(tag);
  consume
      .add_option(
          "--lite-topic", options->lite_topics,
          "Subscribe to this lightweight topic; the group must be bound to the topic. May be "
          "repeated")
      ->allow_extra_args(false);
  consume.add_option("--wait", options->wait_seconds, "Seconds to wait for the next message")
      ->check(CLI::NonNegativeNumber);
  consume
      .add_option("--invisible", options->invisible_seconds,
                  "Seconds for which others do not get what was received here")
      ->check(CLI::Range(10, 43200));
  consume.add_flag("--follow", options->follow, "Go on until interrupted");
  consume.add_flag("--no-ack", options->no_ack, "Do not acknowledge: messages come again");
  consume.footer(
      "\nExamples:\n  dunlinctl consume orders --group me --count 1\n"
      "  dunlinctl consume orders --group me --follow --tag 'new || paid' -o json\n"
      "  dunlinctl consume orders --group dear --filter-sql \"price >= 100 AND region <> 'test'\"");
  consume.callback([options, &command] {
    command = [options](Connection& connection) { return Consume(connection, *options); };
  });
}

}  // namespace dunlin::cli
