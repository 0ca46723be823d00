// dunlinctl group skip, clone-offsets, pause, resume.

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "clients/cli/cluster.h"
#include "clients/cli/cluster_consumer_groups.h"
#include "clients/cli/commands.h"
#include "clients/cli/group_output.h"

namespace dunlin::cli {
namespace {

using admin::v1::Group;

struct MoveOptions {
  std::string name;
  std::string from;
  std::string topic;
  std::optional<uint32_t> queue;
  uint64_t count = 0;
  bool all = false;
};

int Skip(Connection& connection, const MoveOptions& options) {
  admin::v1::SkipMessagesRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_group(options.name);
  request.set_topic(options.topic);
  if (options.queue.has_value()) request.set_queue(*options.queue);
  request.set_count(options.count);
  admin::v1::SkipMessagesResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().SkipMessages(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, response);
  } else {
    fmt::print("{}\nmessages passed over: {}\n", QueueTable(response.queues()), response.skipped());
  }
  return kOk;
}

int Clone(Connection& connection, const MoveOptions& options) {
  admin::v1::CloneOffsetsRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_from_group(options.from);
  request.set_to_group(options.name);
  request.set_topic(options.topic);
  admin::v1::CloneOffsetsResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().CloneOffsets(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, response);
  } else {
    std::fputs(QueueTable(response.queues()).c_str(), stdout);
  }
  return kOk;
}

int SetPaused(Connection& connection, const std::string& name, bool paused) {
  Group change;
  change.set_namespace_(connection.options().name_space);
  change.set_name(name);
  change.set_paused(paused);
  return UpdateGroupEverywhere(connection, change, [&](const Group& updated) {
    if (connection.options().format == Format::kJson) PrintJson(connection, updated);
  });
}

void AddSkip(CLI::App& group, Command& command) {
  auto options = std::make_shared<MoveOptions>();
  CLI::App& skip = *group.add_subcommand(
      "skip", "Pass over messages of a topic for a group: they count as done");
  skip.add_option("NAME", options->name, "Name of the group")->required();
  skip.add_option("--topic", options->topic, "Name of the topic")->required();
  skip.add_option("--queue", options->queue, "This queue alone; else each of the topic");
  CLI::Option_group& what = *skip.add_option_group("what", "What: exactly one");
  what.add_option("--count", options->count, "From each queue the first so many that are not done")
      ->check(CLI::PositiveNumber);
  what.add_flag("--all", options->all, "All that are there now");
  what.require_option(1);
  skip.footer(
      "\nExamples:\n  dunlinctl group skip billing --topic orders --queue 3 --count 1\n"
      "  dunlinctl group skip billing --topic orders --all");
  skip.callback([options, &command] {
    command = [options](Connection& connection) {
      return AtHolders(connection, "group " + options->name,
                       [&](Connection& at) { return Skip(at, *options); });
    };
  });
}

void AddClone(CLI::App& group, Command& command) {
  auto options = std::make_shared<MoveOptions>();
  CLI::App& clone = *group.add_subcommand(
      "clone-offsets", "Move a group to where another one is; what is in flight is given up");
  clone.add_option("NAME", options->name, "Name of the group that is moved")->required();
  clone.add_option("--from", options->from, "Name of the group that stands where it is to go")
      ->required();
  clone.add_option("--topic", options->topic, "This topic alone; else all that --from consumes");
  clone.footer("\nExample: dunlinctl group clone-offsets billing-2 --from billing");
  clone.callback([options, &command] {
    command = [options](Connection& connection) {
      return AtHolders(connection, "group " + options->from,
                       [&](Connection& at) { return Clone(at, *options); });
    };
  });
}

}  // namespace

void AddGroupMoves(CLI::App& group, Command& command) {
  AddSkip(group, command);
  AddClone(group, command);
  auto name = std::make_shared<std::string>();
  CLI::App& pause = *group.add_subcommand(
      "pause", "Deliver nothing to a group until it is resumed; its consumers wait");
  pause.add_option("NAME", *name, "Name of the group")->required();
  pause.callback([name, &command] {
    command = [name](Connection& connection) { return SetPaused(connection, *name, true); };
  });
  CLI::App& resume = *group.add_subcommand("resume", "Deliver to a paused group again, at once");
  resume.add_option("NAME", *name, "Name of the group")->required();
  resume.callback([name, &command] {
    command = [name](Connection& connection) { return SetPaused(connection, *name, false); };
  });
}

}  // namespace dunlin::cli
