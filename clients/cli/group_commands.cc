#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/cluster.h"
#include "clients/cli/cluster_consumer_groups.h"
#include "clients/cli/commands.h"
#include "clients/cli/confirm.h"
#include "clients/cli/group_output.h"
#include "clients/cli/pages.h"
#include "clients/cli/rate_options.h"

namespace dunlin::cli {
namespace {

using admin::v1::Group;

struct GroupOptions {
  std::string name;
  uint32_t max_attempts = 0;
  std::vector<int64_t> retry_delays_ms;
  std::optional<std::string> description;
  std::string order;
  std::optional<uint32_t> priority_factor;
  std::string start;
  RateOptions rate;
  std::optional<uint32_t> max_in_flight;
  std::string lite_bind_topic;
  std::string lite_model;
  std::string topic;
  std::string lite_topic;
  std::vector<std::string> exponential;  // initial ms, max ms, multiplier
  bool first = false;
  bool last = false;
  std::string time;
  uint32_t queue = 0;
  int64_t offset = -1;
  bool yes = false;
};

std::string RetryText(const Group& group) {
  if (group.has_exponential()) {
    return fmt::format("{} ms x{} up to {} ms", group.exponential().initial_ms(),
                       group.exponential().multiplier(), group.exponential().max_ms());
  }
  std::string text;
  for (int64_t delay : group.retry_delays_ms()) {
    text += fmt::format("{}{}s", text.empty() ? "" : " ", static_cast<double>(delay) / 1000);
  }
  return text;
}

std::string StartText(const Group& group) {
  const admin::v1::GroupStart& start = group.start();
  return start.has_time() ? TimeText(start.time().seconds(), start.time().nanos()) : "first";
}

std::string LimitsText(const Group& group) {
  std::string text = RateText(group.rate());
  if (group.max_in_flight() == 0) return OrDash(text);
  return fmt::format("{}{}{} in flight", text, text.empty() ? "" : ", ", group.max_in_flight());
}

std::vector<std::string> Row(const Group& group) {
  return {QualifiedName(group.namespace_(), group.name()),
          std::to_string(group.max_attempts()),
          TimeText(group.create_time().seconds(), group.create_time().nanos()),
          RetryText(group),
          DeliveryOrder_Name(group.delivery_order()),
          group.paused() ? "PAUSED" : "RUNNING",
          StartText(group),
          LimitsText(group),
          group.description()};
}

std::vector<std::string> Header() {
  return {"GROUP", "MAX ATTEMPTS", "CREATED (UTC)", "RETRY AFTER", "DELIVERY",
          "STATE", "STARTS AT",    "LIMITS",        "DESCRIPTION"};
}

Group ToProto(const GroupOptions& options, const Connection& connection) {
  Group group;
  group.set_namespace_(connection.options().name_space);
  group.set_name(options.name);
  group.set_max_attempts(options.max_attempts);
  for (int64_t delay : options.retry_delays_ms) group.add_retry_delays_ms(delay);
  if (!options.exponential.empty()) {
    admin::v1::ExponentialBackoff& backoff = *group.mutable_exponential();
    backoff.set_initial_ms(std::stoll(options.exponential[0]));
    backoff.set_max_ms(std::stoll(options.exponential[1]));
    backoff.set_multiplier(std::stod(options.exponential[2]));
  }
  if (options.description.has_value()) group.set_description(*options.description);
  admin::v1::DeliveryOrder order = admin::v1::DELIVERY_ORDER_UNSPECIFIED;
  admin::v1::DeliveryOrder_Parse(options.order, &order);
  group.set_delivery_order(order);
  if (options.priority_factor.has_value()) group.set_priority_factor(*options.priority_factor);
  if (options.start == "first") group.mutable_start()->set_first(true);
  if (options.start == "last") group.mutable_start()->set_last(true);
  if (!options.start.empty() && !group.has_start()) {
    google::protobuf::util::TimeUtil::FromString(options.start,
                                                 group.mutable_start()->mutable_time());
  }
  FillRate(options.rate, *group.mutable_rate());
  if (options.max_in_flight.has_value()) group.set_max_in_flight(*options.max_in_flight);
  group.set_lite_bind_topic(options.lite_bind_topic);
  admin::v1::LiteModel model = admin::v1::LITE_MODEL_UNSPECIFIED;
  if (!options.lite_model.empty()) admin::v1::LiteModel_Parse("LITE_" + options.lite_model, &model);
  group.set_lite_model(model);
  return group;
}

ShowGroup ShowWith(const Connection& connection) {
  return [&connection](const Group& group) {
    if (connection.options().format == Format::kJson) {
      PrintJson(connection, group);
    } else {
      std::fputs(Table({Header(), Row(group)}).c_str(), stdout);
    }
  };
}

int List(Connection& connection) {
  admin::v1::ListGroupsResponse all;
  const grpc::Status status = GetPages(connection, &admin::v1::AdminService::Stub::ListGroups,
                                       admin::v1::ListGroupsRequest(), all);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, all);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {Header()};
  for (const Group& group : all.groups()) rows.push_back(Row(group));
  std::fputs(Table(rows).c_str(), stdout);
  return kOk;
}

int Describe(Connection& connection, const GroupOptions& options) {
  admin::v1::GetGroupRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_name(options.name);
  admin::v1::GetGroupResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().GetGroup(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, response);
    return kOk;
  }
  if (response.group().lite_bind_topic().empty()) {
    fmt::print("{}\n{}\nconsumers online: {}\n", Table({Header(), Row(response.group())}),
               QueueTable(response.queues()), response.clients_size());
  } else {
    fmt::print(
        "{}\nbound to topic {}, {}: {} subscriptions to its lightweight topics\n\n"
        "consumers online: {}\n",
        Table({Header(), Row(response.group())}), response.group().lite_bind_topic(),
        admin::v1::LiteModel_Name(response.group().lite_model()), response.lite_subscriptions(),
        response.clients_size());
  }
  for (const std::string& client : response.clients()) fmt::print("  {}\n", client);
  for (const admin::v1::GroupSubscription& subscription : response.subscriptions()) {
    fmt::print("consumes {} with {}: {}\n", subscription.topic(), subscription.filter(),
               fmt::join(subscription.clients(), " "));
    if (subscription.refused_client().empty()) continue;
    fmt::print("  refused: {}, which asks with {}\n", subscription.refused_client(),
               subscription.refused_filter());
  }
  return kOk;
}

int Reset(Connection& connection, const GroupOptions& options) {
  admin::v1::ResetOffsetRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_group(options.name);
  request.set_topic(options.topic);
  request.set_lite_topic(options.lite_topic);
  if (options.first) request.set_first(true);
  if (options.last) request.set_last(true);
  if (!options.time.empty()) {
    google::protobuf::util::TimeUtil::FromString(options.time, request.mutable_time());
  }
  if (options.offset >= 0) {
    request.mutable_position()->set_queue(options.queue);
    request.mutable_position()->set_offset(options.offset);
  }
  admin::v1::ResetOffsetResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().ResetOffset(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, response);
  } else {
    std::fputs(QueueTable(response.queues()).c_str(), stdout);
  }
  return kOk;
}

// Where the group is: brokers know it by its first consumer there, or by `create`.
int AtGroup(Connection& connection, const GroupOptions& options,
            int (*act)(Connection&, const GroupOptions&)) {
  return AtHolders(connection, "group " + options.name,
                   [&](Connection& at) { return act(at, options); });
}

void AddSpec(CLI::App& command, GroupOptions& options) {
  command.add_option("NAME", options.name, "Name of the group")->required();
  command
      .add_option("--max-attempts", options.max_attempts,
                  "Deliveries of a message, the first included, before it is a dead letter")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--retry-delays-ms", options.retry_delays_ms,
                  "Milliseconds before each next delivery, separated by commas; the last repeats")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--retry-exponential", options.exponential,
                  "Instead of a list: first delay and longest in milliseconds, factor; e.g. "
                  "1000,60000,2")
      ->delimiter(',')
      ->expected(3)
      ->type_name("INITIAL,MAX,FACTOR")
      ->check(CLI::PositiveNumber)
      ->excludes("--retry-delays-ms");
  command
      .add_option("--delivery-order", options.order,
                  "IN_ORDER: no message before the earlier ones of its message group are done; "
                  "CONCURRENT when left out. A change delivers again what was done behind the "
                  "first message that is not")
      ->check(CLI::IsMember({"CONCURRENT", "IN_ORDER"}));
  command
      .add_option("--priority-factor", options.priority_factor,
                  "Percent of the receives on a topic with priorities that begin with the highest; "
                  "the others begin with each priority in turn. 100 when left out")
      ->check(CLI::Range(0, 100));
  command
      .add_option("--start", options.start,
                  "Where it begins in queues it never consumed from: first, last (what is stored "
                  "from now on), or a time like 2026-11-20T22:00:00Z; first when left out")
      ->check([](const std::string& text) {
        return text == "first" || text == "last" ? std::string() : CheckTime(text);
      });
  AddRate(command, options.rate, "are delivered to the group");
  command.add_option("--max-in-flight", options.max_in_flight,
                     "Messages of one topic that are leased to the group at a time; 0: no limit");
  command.add_option("--lite-bind-topic", options.lite_bind_topic,
                     "The group consumes the lightweight topics of this topic of kind LITE, and "
                     "nothing else, for good");
  command
      .add_option("--lite-model", options.lite_model,
                  "EXCLUSIVE: a lightweight topic goes to the consumer that subscribed to it last; "
                  "SHARED when left out: to all that do")
      ->check(CLI::IsMember({"SHARED", "EXCLUSIVE"}));
  command.add_option("--description", options.description, "What it is for");
}

void AddReset(CLI::App& group, const std::shared_ptr<GroupOptions>& options, Command& command) {
  CLI::App& reset = *group.add_subcommand(
      "reset-offset", "Move a group in a topic; what is in flight is delivered again");
  reset.add_option("NAME", options->name, "Name of the group")->required();
  reset.add_option("--topic", options->topic, "Name of the topic")->required();
  reset.add_option("--lite-topic", options->lite_topic,
                   "Of a topic of kind LITE: the lightweight topic, to --first, --last or --time");
  CLI::Option_group& to = *reset.add_option_group("to", "Where to: exactly one");
  to.add_flag("--first", options->first, "To the first message that is still there");
  to.add_flag("--last", options->last, "Behind the last message");
  to.add_option("--time", options->time,
                "To the first message stored at or after it, like 2026-11-20T22:00:00Z")
      ->check(CheckTime);
  CLI::Option& offset =
      *to.add_option("--offset", options->offset, "To this offset of one queue, with --queue")
           ->check(CLI::NonNegativeNumber);
  to.require_option(1);
  CLI::Option& queue =
      *reset.add_option("--queue", options->queue, "Queue of --offset")->needs(&offset);
  offset.needs(&queue);
  reset.footer(
      "\nExamples:\n  dunlinctl group reset-offset billing --topic orders --first\n"
      "  dunlinctl group reset-offset billing --topic orders --time 2026-11-20T22:00:00Z\n"
      "  dunlinctl group reset-offset billing --topic orders --queue 3 --offset 1000");
  reset.callback([options, &command] {
    command = [options](Connection& connection) {
      if (options->offset >= 0) {
        std::vector<Broker> brokers;
        if (const int exit = FindBrokers(connection, brokers); exit != kOk) return exit;
        if (brokers.size() > 1) {
          fmt::print(stderr,
                     "dunlinctl: an offset is of a queue of one broker: --broker names it\n");
          return static_cast<int>(kUsage);
        }
      }
      return AtGroup(connection, *options, Reset);
    };
  });
}

}  // namespace

void AddGroupCommands(CLI::App& app, Command& command) {
  auto options = std::make_shared<GroupOptions>();
  CLI::App& group = *app.add_subcommand(
      "group", "Create, change, list, describe, move, pause, delete consumer groups");
  group.require_subcommand(1);

  CLI::App& create = *group.add_subcommand(
      "create", "Create a consumer group; in a cluster at all broker groups, or at none");
  AddSpec(create, *options);
  create.footer(
      "\nExamples:\n  dunlinctl group create billing --max-attempts 5 --retry-delays-ms "
      "1000,5000,30000\n  dunlinctl group create ledger --delivery-order IN_ORDER\n"
      "  dunlinctl group create agents --lite-bind-topic sessions --lite-model EXCLUSIVE");
  create.callback([options, &command] {
    command = [options](Connection& connection) {
      return CreateGroupEverywhere(connection, ToProto(*options, connection), ShowWith(connection));
    };
  });

  CLI::App& update = *group.add_subcommand(
      "update",
      "Change a group; what is not given stays as it is. In a cluster at all broker groups that "
      "have it, or at none");
  AddSpec(update, *options);
  update.footer("\nExample: dunlinctl group update billing --retry-exponential 1000,60000,2");
  update.callback([options, &command] {
    command = [options](Connection& connection) {
      return UpdateGroupEverywhere(connection, ToProto(*options, connection), ShowWith(connection));
    };
  });

  group.add_subcommand("list", "List all consumer groups")->callback([&command] {
    command = [](Connection& connection) { return AtAll(connection, List); };
  });

  CLI::App& describe =
      *group.add_subcommand("describe", "Show a group: how far it is, what it lags, who consumes");
  describe.add_option("NAME", options->name, "Name of the group")->required();
  describe.callback([options, &command] {
    command = [options](Connection& connection) { return AtGroup(connection, *options, Describe); };
  });

  AddReset(group, options, command);
  AddGroupMoves(group, command);

  CLI::App& remove = *group.add_subcommand(
      "delete", "Delete a group with its progress; in a cluster at all broker groups that have it");
  remove.add_option("NAME", options->name, "Name of the group")->required();
  AddYes(remove, options->yes);
  remove.callback([options, &command] {
    command = [options](Connection& connection) {
      const bool goes_on = Confirmed(
          options->yes,
          fmt::format("deleting group {} forgets how far it has consumed", options->name));
      return goes_on ? DeleteGroupEverywhere(connection, options->name) : static_cast<int>(kUsage);
    };
  });
}

}  // namespace dunlin::cli
