#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "dunlin/allocation.h"

#include "clients/cli/cluster.h"
#include "clients/cli/commands.h"
#include "clients/cli/message_id.h"

namespace dunlin::cli {
namespace {

namespace v2 = apache::rocketmq::v2;

struct ProduceOptions {
  std::string topic;
  std::string text;
  bool has_text = false;  // it may be empty
  std::string file;
  std::string tag;
  std::string message_group;
  std::optional<int32_t> priority;
  std::string lite_topic;
  std::vector<std::string> keys;
  std::vector<std::string> properties;
  double delay_seconds = -1;  // below 0: none
  bool transaction = false;
  int count = 1;
};

int Send(Connection& connection, const ProduceOptions& options, const std::string& body) {
  v2::SendMessageRequest request;
  v2::Message& message = *request.add_messages();
  message.mutable_topic()->set_resource_namespace(connection.options().name_space);
  message.mutable_topic()->set_name(options.topic);
  message.set_body(body);
  v2::SystemProperties& system = *message.mutable_system_properties();
  system.set_message_id(NewMessageId());
  system.set_message_type(options.message_group.empty() ? v2::NORMAL : v2::FIFO);
  if (!options.message_group.empty()) system.set_message_group(options.message_group);
  if (!options.lite_topic.empty()) {
    system.set_message_type(v2::LITE);
    system.set_lite_topic(options.lite_topic);
  }
  system.set_body_encoding(v2::IDENTITY);
  system.mutable_born_timestamp()->set_seconds(
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
  if (!options.tag.empty()) system.set_tag(options.tag);
  if (options.delay_seconds >= 0) {
    system.set_message_type(v2::DELAY);
    const auto due = std::chrono::floor<std::chrono::milliseconds>(
        std::chrono::system_clock::now() + std::chrono::duration<double>(options.delay_seconds));
    const int64_t millis = due.time_since_epoch().count();
    system.mutable_delivery_timestamp()->set_seconds(millis / 1000);
    system.mutable_delivery_timestamp()->set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
  }
  if (options.priority.has_value()) {
    system.set_message_type(v2::PRIORITY);
    system.set_priority(*options.priority);
  }
  if (options.transaction) system.set_message_type(v2::TRANSACTION);
  for (const std::string& key : options.keys) system.add_keys(key);
  for (const std::string& property : options.properties) {
    const size_t equals = property.find('=');
    (*message.mutable_user_properties())[property.substr(0, equals)] = property.substr(equals + 1);
  }
  v2::SendMessageResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.messaging().SendMessage(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (response.status().code() != v2::OK) return connection.Report(response.status());
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, response.entries(0));
  } else if (options.transaction) {
    fmt::print("{} transaction {}\n", response.entries(0).message_id(),
               response.entries(0).transaction_id());
  } else if (!response.entries(0).recall_handle().empty()) {
    fmt::print("{} recall handle {}\n", response.entries(0).message_id(),
               response.entries(0).recall_handle());
  } else {
    fmt::print("{} queue offset {}\n", response.entries(0).message_id(),
               response.entries(0).offset());
  }
  return kOk;
}

// Whoever sends to a message group sends to the same broker; all else goes to each in turn.
int SendTo(const std::vector<Broker>& brokers, size_t turn, const ProduceOptions& options,
           const std::string& body) {
  size_t which = turn % brokers.size();
  if (!options.message_group.empty()) {
    std::vector<std::string> names;
    for (const Broker& broker : brokers) names.push_back(broker.group);
    which = BrokerOfKey(names, options.message_group);
  }
  return Send(*brokers[which].connection, options, body);
}

// A line of standard input without its end; false when there is none.
bool ReadLine(std::string& line) {
  line.clear();
  for (int byte = std::getc(stdin); byte != EOF; byte = std::getc(stdin)) {
    if (byte == '\n') return true;
    line.push_back(static_cast<char>(byte));
  }
  return !line.empty();
}

int Produce(Connection& connection, const ProduceOptions& options) {
  std::string body = options.text;
  bool has_body = options.has_text;
  if (!options.file.empty()) {
    std::ifstream file(options.file, std::ios::binary);
    std::stringstream bytes;
    if (!(bytes << file.rdbuf())) {
      fmt::print(stderr, "dunlinctl: cannot read {}, or it is empty\n", options.file);
      return kUsage;
    }
    body = bytes.str();
    has_body = true;
  }
  std::vector<Broker> brokers;
  if (const int exit = FindHolders(connection, options.topic, true, brokers); exit != kOk) {
    return exit;
  }
  size_t turn = 0;
  if (has_body) {
    for (int i = 0; i < options.count; ++i) {
      if (const int exit = SendTo(brokers, turn++, options, body); exit != kOk) return exit;
    }
    return kOk;
  }
  for (std::string line; ReadLine(line);) {
    if (line.empty()) continue;
    if (const int exit = SendTo(brokers, turn++, options, line); exit != kOk) return exit;
  }
  return kOk;
}

}  // namespace

void AddProduceCommand(CLI::App& app, Command& command) {
  auto options = std::make_shared<ProduceOptions>();
  CLI::App& produce = *app.add_subcommand(
      "produce",
      "Send messages: the argument, a file, or each line of standard input; prints id and offset");
  produce.add_option("TOPIC", options->topic, "Where to")->required();
  CLI::Option& text = *produce.add_option("MESSAGE", options->text,
                                          "The body; a line of standard input when left out");
  produce.add_option("--file", options->file, "The body is what is in the file")
      ->check(CLI::ExistingFile)
      ->excludes(&text);
  produce.add_option("--tag", options->tag, "Tag, for consumers that filter");
  produce
      .add_option("--message-group", options->message_group,
                  "Messages of one group are delivered in their order, to consumer groups that "
                  "consume IN_ORDER; the topic must take FIFO messages")
      ->check([](const std::string& name) {
        return name.empty() ? "an empty group; leave the option out" : "";
      });
  produce
      .add_option("--lite-topic", options->lite_topic,
                  "The lightweight topic, of a topic of kind LITE; made when it does not exist")
      ->check([](const std::string& name) {
        return name.empty() ? "an empty name; leave the option out" : "";
      });
  produce.add_option("--key", options->keys, "Key, to find the message by; may be repeated")
      ->allow_extra_args(false);
  produce.add_option("--property", options->properties, "KEY=VALUE; may be repeated")
      ->allow_extra_args(false)
      ->check([](const std::string& property) {
        const size_t equals = property.find('=');
        return equals == 0 || equals == std::string::npos ? "must be KEY=VALUE" : "";
      });
  produce
      .add_option(
          "--delay-seconds", options->delay_seconds,
          "Deliver so long from now, to a topic of kind DELAY; prints what `message recall` "
          "needs")
      ->check(CLI::NonNegativeNumber);
  produce
      .add_option("--priority", options->priority,
                  "The higher, the earlier it is delivered; the topic must take PRIORITY messages")
      ->check(CLI::NonNegativeNumber);
  produce.add_flag("--transaction", options->transaction,
                   "Prepare a transaction, for a topic of kind TRANSACTION: nobody sees the "
                   "message before `transaction commit`; prints the transaction id");
  produce.add_option("--count", options->count, "Send the argument or the file this often")
      ->check(CLI::PositiveNumber);
  produce.footer(
      "\nExamples:\n  dunlinctl produce orders 'one order' --tag new --key 4711\n"
      "  seq 100 | dunlinctl produce orders\n"
      "  dunlinctl produce orders 'shipped' --message-group order-4711");
  produce.callback([options, &text, &command] {
    options->has_text = text.count() > 0;
    command = [options](Connection& connection) { return Produce(connection, *options); };
  });
}

}  // namespace dunlin::cli
