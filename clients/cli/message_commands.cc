#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "clients/cli/commands.h"
#include "clients/cli/message_text.h"

namespace dunlin::cli {
namespace {

namespace v2 = apache::rocketmq::v2;

struct MessageOptions {
  std::string topic;
  std::string id;
  std::string key;
  uint32_t queue = 0;
  int64_t offset = -1;
  std::string recall_handle;
};

// What GetMessages and TraceMessages ask for.
admin::v1::GetMessagesRequest RequestOf(const Connection& connection,
                                        const MessageOptions& options) {
  admin::v1::GetMessagesRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_topic(options.topic);
  if (!options.id.empty()) {
    request.set_message_id(options.id);
  } else if (!options.key.empty()) {
    request.set_key(options.key);
  } else {
    request.mutable_position()->set_queue(options.queue);
    request.mutable_position()->set_offset(options.offset);
  }
  return request;
}

int Get(Connection& connection, const MessageOptions& options) {
  admin::v1::GetMessagesResponse response;
  const auto context = connection.Context();
  const grpc::Status status =
      connection.admin().GetMessages(context.get(), RequestOf(connection, options), &response);
  if (!status.ok()) return connection.Report(status);
  for (const admin::v1::StoredMessage& stored : response.messages()) {
    v2::Message message;
    if (!message.ParseFromString(stored.message())) {
      fmt::print(stderr, "dunlinctl: what is stored at log offset {} is no message\n",
                 stored.log_offset());
      return kRefused;
    }
    v2::SystemProperties& system = *message.mutable_system_properties();
    system.set_queue_id(static_cast<int32_t>(stored.queue()));
    system.set_queue_offset(stored.queue_offset());
    *system.mutable_store_timestamp() = stored.store_time();
    if (connection.options().format == Format::kJson) {
      std::fputs(Json(message).c_str(), stdout);
    } else {
      fmt::print("stored {} UTC at log offset {}\n{}",
                 TimeText(stored.store_time().seconds(), stored.store_time().nanos()),
                 stored.log_offset(), MessageText(message));
    }
  }
  return kOk;
}

void PrintTrace(const admin::v1::MessageTrace& trace) {
  const admin::v1::StoredMessage& stored = trace.message();
  v2::Message message;
  message.ParseFromString(stored.message());
  const v2::SystemProperties& system = message.system_properties();
  fmt::print("{}\n", system.message_id());
  fmt::print("  {} UTC  born on {}\n",
             TimeText(system.born_timestamp().seconds(), system.born_timestamp().nanos()),
             system.born_host().empty() ? "-" : system.born_host());
  const std::string place =
      stored.queue_offset() < 0
          ? fmt::format("waits for its place in queue {}", stored.queue())
          : fmt::format("in queue {} at offset {}", stored.queue(), stored.queue_offset());
  fmt::print("  {} UTC  stored at log offset {}, {}\n",
             TimeText(stored.store_time().seconds(), stored.store_time().nanos()),
             stored.log_offset(), place);
  for (const admin::v1::TraceEvent& event : trace.events()) {
    std::string text = TraceEvent_Step_Name(event.step());
    if (!event.group().empty()) text += fmt::format(" group {}", event.group());
    if (event.attempt() > 0) text += fmt::format(" attempt {}", event.attempt());
    if (!event.client_id().empty()) text += fmt::format(" client {}", event.client_id());
    fmt::print("  {} UTC  {}\n", TimeText(event.time().seconds(), event.time().nanos()), text);
  }
  for (const admin::v1::TraceGroup& group : trace.groups()) {
    fmt::print("  now: group {} {}{}\n", group.group(), TraceGroup_State_Name(group.state()),
               group.attempts() > 0 ? fmt::format(", delivered {} times", group.attempts()) : "");
  }
}

int Trace(Connection& connection, const MessageOptions& options) {
  admin::v1::TraceMessagesResponse response;
  const auto context = connection.Context();
  const grpc::Status status =
      connection.admin().TraceMessages(context.get(), RequestOf(connection, options), &response);
  if (!status.ok()) return connection.Report(status);
  for (const admin::v1::MessageTrace& trace : response.traces()) {
    if (connection.options().format == Format::kJson) {
      std::fputs(Json(trace).c_str(), stdout);
    } else {
      PrintTrace(trace);
    }
  }
  return kOk;
}

int Recall(Connection& connection, const MessageOptions& options) {
  v2::RecallMessageRequest request;
  request.mutable_topic()->set_resource_namespace(connection.options().name_space);
  request.mutable_topic()->set_name(options.topic);
  request.set_recall_handle(options.recall_handle);
  v2::RecallMessageResponse response;
  const auto context = connection.Context();
  const grpc::Status status =
      connection.messaging().RecallMessage(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (response.status().code() != v2::OK) return connection.Report(response.status());
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(response).c_str(), stdout);
  } else {
    fmt::print("{} will not be delivered\n", response.message_id());
  }
  return kOk;
}

void AddWhich(CLI::App& command, MessageOptions& options) {
  command.add_option("TOPIC", options.topic, "Which topic")->required();
  CLI::Option_group& by = *command.add_option_group("by", "Which: exactly one");
  by.add_option("--id", options.id, "Message id");
  by.add_option("--key", options.key, "Message key; the newest 32 are shown");
  CLI::Option& offset = *by.add_option("--offset", options.offset, "Queue offset, with --queue")
                             ->check(CLI::NonNegativeNumber);
  by.require_option(1);
  CLI::Option& queue =
      *command.add_option("--queue", options.queue, "Queue of --offset")->needs(&offset);
  offset.needs(&queue);
}

}  // namespace

void AddMessageCommands(CLI::App& app, Command& command) {
  auto options = std::make_shared<MessageOptions>();
  CLI::App& message = *app.add_subcommand("message",
                                          "Look at stored messages and what became of them; recall "
                                          "delayed ones");
  message.require_subcommand(1);
  CLI::App& get = *message.add_subcommand("get", "Messages by id, by key, or by queue and offset");
  AddWhich(get, *options);
  get.footer(
      "\nExamples:\n  dunlinctl message get orders --key 4711\n"
      "  dunlinctl message get orders --queue 3 --offset 0 -o json");
  get.callback([options, &command] {
    command = [options](Connection& connection) { return Get(connection, *options); };
  });
  CLI::App& trace = *message.add_subcommand(
      "trace", "What became of messages: who stored, got and settled them, and when");
  AddWhich(trace, *options);
  trace.footer(
      "\nThe broker keeps the newest events in memory (broker.max_trace_events). What was before "
      "its "
      "start is\nnot shown; where the groups are now always is.\n\nExamples:\n"
      "  dunlinctl message trace orders --id 01A2B3C4D5E6F708000000000000000001\n"
      "  dunlinctl message trace orders --key 4711");
  trace.callback([options, &command] {
    command = [options](Connection& connection) { return Trace(connection, *options); };
  });
  CLI::App& recall =
      *message.add_subcommand("recall", "Take a delayed message back before it is delivered");
  recall.add_option("TOPIC", options->topic, "Which topic")->required();
  recall.add_option("HANDLE", options->recall_handle, "What `produce --delay-seconds` printed")
      ->required();
  recall.callback([options, &command] {
    command = [options](Connection& connection) { return Recall(connection, *options); };
  });
}

}  // namespace dunlin::cli
