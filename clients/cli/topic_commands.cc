#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/cluster.h"
#include "clients/cli/cluster_topics.h"
#include "clients/cli/commands.h"
#include "clients/cli/confirm.h"
#include "clients/cli/lite_topic_commands.h"
#include "clients/cli/pages.h"
#include "clients/cli/rate_options.h"

namespace dunlin::cli {
namespace {

using admin::v1::Topic;

constexpr char kMixed[] = "MIXED";

struct TopicOptions {
  std::string name;
  uint32_t queues = 0;
  std::vector<std::string> kinds;
  std::string permission;
  std::optional<std::string> description;
  std::optional<double> max_age_hours;
  std::optional<uint64_t> max_queue_bytes;
  std::optional<bool> delete_consumed;
  std::optional<bool> compacted;
  RateOptions rate;
  int lite_expiration_minutes = -1;  // below 0: not given
  bool yes = false;
};

std::string RetentionText(const Topic& topic) {
  const admin::v1::TopicRetention& retention = topic.retention();
  std::string text = topic.compacted() ? "newest of each key" : "";
  if (retention.max_age_ms() > 0) {
    text += fmt::format("{}{} h", text.empty() ? "" : ", ",
                        static_cast<double>(retention.max_age_ms()) / 3'600'000);
  }
  if (retention.max_queue_bytes() > 0) {
    text += fmt::format("{}{} bytes", text.empty() ? "" : ", ", retention.max_queue_bytes());
  }
  if (retention.consumed()) text += text.empty() ? "until consumed" : ", until consumed";
  return text.empty() ? "broker's" : text;
}

// "8", or "2 (8 read)" while more queues are read than take messages.
std::string QueuesText(const Topic& topic) {
  if (topic.read_queues() <= topic.queues()) return std::to_string(topic.queues());
  return fmt::format("{} ({} read)", topic.queues(), topic.read_queues());
}

std::string KindsText(const Topic& topic) {
  std::string text;
  for (int kind : topic.kinds()) {
    text += (text.empty() ? "" : ",") +
            admin::v1::MessageKind_Name(static_cast<admin::v1::MessageKind>(kind));
  }
  return text;
}

std::vector<std::string> Row(const Topic& topic) {
  return {topic.namespace_().empty() ? topic.name() : topic.namespace_() + "/" + topic.name(),
          QueuesText(topic),
          KindsText(topic),
          admin::v1::Permission_Name(topic.permission()),
          RetentionText(topic),
          TimeText(topic.create_time().seconds(), topic.create_time().nanos()),
          OrDash(RateText(topic.send_rate())),
          topic.description()};
}

std::vector<std::string> Header() {
  return {"TOPIC", "QUEUES",        "KINDS",      "PERMISSION",
          "KEPT",  "CREATED (UTC)", "SEND LIMIT", "DESCRIPTION"};
}

void Show(const Connection& connection, const Topic& topic) {
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, topic);
  } else {
    std::fputs(Table({Header(), Row(topic)}).c_str(), stdout);
  }
}

Topic ToProto(const TopicOptions& options, const Connection& connection) {
  Topic topic;
  topic.set_namespace_(connection.options().name_space);
  topic.set_name(options.name);
  topic.set_queues(options.queues);
  for (const std::string& name : options.kinds) {
    if (name == kMixed) {
      for (const auto kind :
           {admin::v1::NORMAL, admin::v1::FIFO, admin::v1::DELAY, admin::v1::TRANSACTION}) {
        topic.add_kinds(kind);
      }
      continue;
    }
    admin::v1::MessageKind kind = admin::v1::MESSAGE_KIND_UNSPECIFIED;
    admin::v1::MessageKind_Parse(name, &kind);
    topic.add_kinds(kind);
  }
  admin::v1::Permission permission = admin::v1::PERMISSION_UNSPECIFIED;
  admin::v1::Permission_Parse(options.permission, &permission);
  topic.set_permission(permission);
  if (options.description.has_value()) topic.set_description(*options.description);
  if (options.max_age_hours.has_value()) {
    topic.mutable_retention()->set_max_age_ms(std::llround(*options.max_age_hours * 3'600'000));
  }
  if (options.max_queue_bytes.has_value()) {
    topic.mutable_retention()->set_max_queue_bytes(*options.max_queue_bytes);
  }
  if (options.compacted.has_value()) topic.set_compacted(*options.compacted);
  if (options.delete_consumed.has_value()) {
    topic.mutable_retention()->set_consumed(*options.delete_consumed);
  }
  FillRate(options.rate, *topic.mutable_send_rate());
  if (options.lite_expiration_minutes >= 0) {
    topic.set_lite_expiration_minutes(static_cast<uint32_t>(options.lite_expiration_minutes));
  }
  return topic;
}

int List(Connection& connection) {
  admin::v1::ListTopicsResponse all;
  const grpc::Status status = GetPages(connection, &admin::v1::AdminService::Stub::ListTopics,
                                       admin::v1::ListTopicsRequest(), all);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, all);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {Header()};
  for (const Topic& topic : all.topics()) rows.push_back(Row(topic));
  std::fputs(Table(rows).c_str(), stdout);
  return kOk;
}

int Describe(Connection& connection, const std::string& name) {
  admin::v1::GetTopicRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_name(name);
  admin::v1::GetTopicResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().GetTopic(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, response);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {{"QUEUE", "FIRST OFFSET", "NEXT OFFSET", "MESSAGES",
                                                 "DELAYED", "IN TRANSACTIONS",
                                                 "LAST MESSAGE (UTC)"}};
  for (const admin::v1::QueueStatus& queue : response.queues()) {
    rows.push_back({std::to_string(queue.queue()), std::to_string(queue.min_offset()),
                    std::to_string(queue.max_offset()),
                    std::to_string(queue.max_offset() - queue.min_offset()),
                    std::to_string(queue.delayed()), std::to_string(queue.open_transactions()),
                    TimeText(queue.last_store_time().seconds(), queue.last_store_time().nanos())});
  }
  fmt::print("{}\n{}", Table({Header(), Row(response.topic())}), Table(rows));
  if (response.topic().has_lite_expiration_minutes()) {
    const uint32_t minutes = response.topic().lite_expiration_minutes();
    fmt::print("\n{} lightweight topics, which {}\n", response.lite_topics(),
               minutes == 0 ? "stay for good"
                            : fmt::format("go after {} minutes without a message", minutes));
  }
  return kOk;
}

int Delete(Connection& connection, const TopicOptions& options) {
  if (!Confirmed(
          options.yes,
          fmt::format("deleting topic {} puts its messages out of reach for good", options.name))) {
    return kUsage;
  }
  return DeleteTopicEverywhere(connection, options.name);
}

void AddSpec(CLI::App& command, TopicOptions& options) {
  command.add_option("NAME", options.name, "Name of the topic")->required();
  command
      .add_option("--queues", options.queues,
                  "Number of queues that take messages, 1 to 65535; what stands in others is read")
      ->check(CLI::Range(1, 65535));
  command
      .add_option("--kinds", options.kinds,
                  "Kinds of message, separated by commas; MIXED: NORMAL,FIFO,DELAY,TRANSACTION")
      ->delimiter(',')
      ->check(
          CLI::IsMember({"NORMAL", "FIFO", "DELAY", "TRANSACTION", "LITE", "PRIORITY", kMixed}));
  command.add_option("--permission", options.permission, "Who may do what")
      ->check(CLI::IsMember({"NONE", "READ", "WRITE", "READ_WRITE"}));
  AddRate(command, options.rate, "all producers may send to it");
  command
      .add_option(
          "--lite-expiration-minutes", options.lite_expiration_minutes,
          "Of kind LITE: lightweight topics without a message for so long are removed, once "
          "they are consumed; 0: never")
      ->check(CLI::Range(0, 43200));
  command.add_option("--description", options.description, "What it is for");
  command
      .add_option("--max-age-hours", options.max_age_hours,
                  "Keep messages so long, if the broker does; 0: as long as the broker")
      ->check(CLI::Range(0.0, 876'000.0));
  command.add_option("--max-queue-bytes", options.max_queue_bytes,
                     "Keep so much in each queue; 0: no limit");
  command.add_option("--delete-consumed", options.delete_consumed,
                     "true: do not keep what all groups that consume from a queue are done with");
  command.add_option("--compacted", options.compacted,
                     "true: of messages with the same key keep the newest, for ever");
}

}  // namespace

void AddTopicCommands(CLI::App& app, Command& command) {
  auto options = std::make_shared<TopicOptions>();
  CLI::App& topic = *app.add_subcommand("topic", "Create, change, list, describe, delete topics");
  topic.require_subcommand(1);

  CLI::App& create = *topic.add_subcommand(
      "create", "Create a topic; in a cluster at all broker groups, or at none");
  AddSpec(create, *options);
  create.footer(
      "\nExamples:\n  dunlinctl topic create orders --queues 16 --description 'shop orders'\n"
      "  dunlinctl --endpoint names-0:9876 topic create orders --broker a --broker b\n"
      "  dunlinctl topic create sessions --kinds LITE --lite-expiration-minutes 60");
  create.callback([options, &command] {
    command = [options](Connection& connection) {
      return CreateTopicEverywhere(connection, ToProto(*options, connection),
                                   [&](const Topic& created) { Show(connection, created); });
    };
  });

  CLI::App& update = *topic.add_subcommand(
      "update",
      "Change a topic; what is not given stays as it is. In a cluster at all broker groups that "
      "have it, or at none");
  AddSpec(update, *options);
  update.footer("\nExample: dunlinctl topic update orders --queues 32");
  update.callback([options, &command] {
    command = [options](Connection& connection) {
      return UpdateTopicEverywhere(connection, ToProto(*options, connection),
                                   [&](const Topic& updated) { Show(connection, updated); });
    };
  });

  topic.add_subcommand("list", "List all topics")->callback([&command] {
    command = [](Connection& connection) { return AtAll(connection, List); };
  });

  CLI::App& describe = *topic.add_subcommand("describe", "Show a topic and its queues");
  describe.add_option("NAME", options->name, "Name of the topic")->required();
  describe.callback([options, &command] {
    command = [options](Connection& connection) {
      return AtHolders(connection, "topic " + options->name,
                       [&](Connection& at) { return Describe(at, options->name); });
    };
  });

  AddLiteTopicCommands(topic, command);

  CLI::App& remove = *topic.add_subcommand(
      "delete", "Delete a topic with its messages; in a cluster at all broker groups that have it");
  remove.add_option("NAME", options->name, "Name of the topic")->required();
  AddYes(remove, options->yes);
  remove.callback([options, &command] {
    command = [options](Connection& connection) { return Delete(connection, *options); };
  });
}

}  // namespace dunlin::cli
