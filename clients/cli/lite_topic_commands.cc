#include "clients/cli/lite_topic_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace dunlin::cli {
namespace {

using admin::v1::LiteTopic;

struct LiteOptions {
  std::string topic;
  std::string name;
  uint32_t limit = 0;  // 0: all
};

std::vector<std::string> Row(const LiteTopic& topic) {
  int64_t lag = 0;
  for (const admin::v1::LiteTopicGroup& group : topic.groups()) lag += group.lag();
  return {topic.name(),
          std::to_string(topic.queue()),
          std::to_string(topic.max_offset() - topic.min_offset()),
          std::to_string(topic.max_offset()),
          std::to_string(lag),
          TimeText(topic.create_time().seconds(), topic.create_time().nanos()),
          TimeText(topic.last_store_time().seconds(), topic.last_store_time().nanos())};
}

std::vector<std::string> Header() {
  return {"LITE TOPIC", "QUEUE",         "MESSAGES",          "NEXT OFFSET",
          "LAG",        "CREATED (UTC)", "LAST MESSAGE (UTC)"};
}

// A page at a time: there may be millions.
int List(Connection& connection, const LiteOptions& options) {
  admin::v1::ListLiteTopicsRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_topic(options.topic);
  admin::v1::ListLiteTopicsResponse all;
  const auto have = [&] { return static_cast<uint32_t>(all.lite_topics_size()); };
  do {
    const uint32_t left = options.limit == 0 ? 1000 : options.limit - have();
    request.set_page_size(std::min(left, 1000u));
    admin::v1::ListLiteTopicsResponse page;
    const auto context = connection.Context();
    const grpc::Status status = connection.admin().ListLiteTopics(context.get(), request, &page);
    if (!status.ok()) return connection.Report(status);
    all.mutable_lite_topics()->MergeFrom(page.lite_topics());
    all.set_total(page.total());
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && (options.limit == 0 || have() < options.limit));
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(all).c_str(), stdout);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {Header()};
  for (const LiteTopic& topic : all.lite_topics()) rows.push_back(Row(topic));
  fmt::print("{}\n{} of {} lightweight topics\n", Table(rows), all.lite_topics_size(), all.total());
  return kOk;
}

int Describe(Connection& connection, const LiteOptions& options) {
  admin::v1::GetLiteTopicRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_topic(options.topic);
  request.set_lite_topic(options.name);
  LiteTopic topic;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().GetLiteTopic(context.get(), request, &topic);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(topic).c_str(), stdout);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"GROUP", "COMMITTED", "LAG", "IN FLIGHT", "RETRYING", "SUBSCRIBERS"}};
  for (const admin::v1::LiteTopicGroup& group : topic.groups()) {
    std::string clients;
    for (const std::string& client : group.clients()) {
      clients += (clients.empty() ? "" : " ") + client;
    }
    rows.push_back({group.group(), std::to_string(group.committed_offset()),
                    std::to_string(group.lag()), std::to_string(group.in_flight()),
                    std::to_string(group.retrying()), clients.empty() ? "-" : clients});
  }
  fmt::print("{}\n{}", Table({Header(), Row(topic)}), Table(rows));
  return kOk;
}

}  // namespace

void AddLiteTopicCommands(CLI::App& topic, Command& command) {
  auto options = std::make_shared<LiteOptions>();
  CLI::App& lite =
      *topic.add_subcommand("lite", "Show the lightweight topics of a topic of kind LITE");
  lite.require_subcommand(1);

  CLI::App& list = *lite.add_subcommand(
      "list", "List them with their messages and how many of these wait for groups");
  list.add_option("TOPIC", options->topic, "Name of the topic")->required();
  list.add_option("--limit", options->limit, "At most so many, those that were made first")
      ->check(CLI::PositiveNumber);
  list.callback([options, &command] {
    command = [options](Connection& connection) { return List(connection, *options); };
  });

  CLI::App& describe =
      *lite.add_subcommand("describe", "Show one: how far groups are, and who subscribes to it");
  describe.add_option("TOPIC", options->topic, "Name of the topic")->required();
  describe.add_option("LITE_TOPIC", options->name, "Name of the lightweight topic")->required();
  describe.callback([options, &command] {
    command = [options](Connection& connection) { return Describe(connection, *options); };
  });
}

}  // namespace dunlin::cli
