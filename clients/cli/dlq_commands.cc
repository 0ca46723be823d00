// dunlinctl dlq: messages that groups could not consume.

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "clients/cli/commands.h"
#include "clients/cli/confirm.h"
#include "clients/cli/group_output.h"
#include "clients/cli/message_text.h"
#include "clients/cli/pages.h"

namespace dunlin::cli {
namespace {

struct DlqOptions {
  std::string group;
  int64_t offset = 0;
  uint32_t limit = 32;
  bool all = false;
  int64_t before_offset = -1;
  std::string before_time;
  bool yes = false;
};

std::string TimeOf(const google::protobuf::Timestamp& time) {
  return TimeText(time.seconds(), time.nanos());
}

int List(Connection& connection) {
  admin::v1::ListDeadLettersResponse all;
  const grpc::Status status = GetPages(connection, &admin::v1::AdminService::Stub::ListDeadLetters,
                                       admin::v1::ListDeadLettersRequest(), all);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(all).c_str(), stdout);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"GROUP", "WAITING", "HELD", "FIRST", "END", "LAST (UTC)"}};
  for (const admin::v1::DeadLetterStatus& group : all.groups()) {
    std::string name = QualifiedName(group.namespace_(), group.group());
    if (group.group_deleted()) name += " (deleted)";
    rows.push_back({name, std::to_string(group.waiting()), std::to_string(group.held()),
                    std::to_string(group.first_offset()), std::to_string(group.end_offset()),
                    TimeOf(group.last_time())});
  }
  std::fputs(Table(rows).c_str(), stdout);
  return kOk;
}

std::string ReasonText(const admin::v1::DeadLetter& letter) {
  switch (letter.reason()) {
    case admin::v1::ATTEMPTS_EXHAUSTED:
      return fmt::format("delivered {} times", letter.attempts());
    case admin::v1::FORWARDED:
      return fmt::format("given up by a consumer after {} deliveries", letter.attempts());
    default:
      return letter.attempts() == 0 ? "sent here" : fmt::format("{} deliveries", letter.attempts());
  }
}

void Print(const admin::v1::DeadLetter& letter) {
  fmt::print("{}  {}  {}{}\n", letter.offset(), TimeOf(letter.time()), ReasonText(letter),
             letter.done() ? "  (done)" : "");
  apache::rocketmq::v2::Message message;
  if (!letter.has_message() || !message.ParseFromString(letter.message().message())) {
    fmt::print("   cannot be read\n");
    return;
  }
  // Where it came from, in the words in which messages are shown.
  const std::string& topic = letter.origin_topic();
  const size_t slash = topic.find('/');
  message.mutable_topic()->set_resource_namespace(
      slash == std::string::npos ? "" : topic.substr(0, slash));
  message.mutable_topic()->set_name(slash == std::string::npos ? topic : topic.substr(slash + 1));
  message.mutable_system_properties()->set_queue_id(static_cast<int32_t>(letter.origin_queue()));
  message.mutable_system_properties()->set_queue_offset(letter.origin_offset());
  std::fputs(MessageText(message).c_str(), stdout);
}

int Show(Connection& connection, const DlqOptions& options) {
  admin::v1::GetDeadLettersRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_group(options.group);
  request.set_offset(options.offset);
  request.set_limit(options.limit);
  request.set_all(options.all);
  admin::v1::GetDeadLettersResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().GetDeadLetters(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(response).c_str(), stdout);
    return kOk;
  }
  for (const admin::v1::DeadLetter& letter : response.letters()) Print(letter);
  if (response.next_offset() >= 0) fmt::print("more: --from {}\n", response.next_offset());
  return kOk;
}

int Resend(Connection& connection, const DlqOptions& options) {
  admin::v1::ResendDeadLettersRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_group(options.group);
  if (options.all) {
    request.set_before_offset(std::numeric_limits<int64_t>::max());
  } else {
    request.set_offset(options.offset);
  }
  admin::v1::ResendDeadLettersResponse total;
  for (bool more = true; more;) {
    admin::v1::ResendDeadLettersResponse response;
    const auto context = connection.Context();
    const grpc::Status status =
        connection.admin().ResendDeadLetters(context.get(), request, &response);
    if (!status.ok()) return connection.Report(status);
    total.set_resent(total.resent() + response.resent());
    total.set_failed(total.failed() + response.failed());
    if (total.failure().empty()) total.set_failure(response.failure());
    total.set_before_offset(response.before_offset());
    more = response.more();
    if (more) request.set_before_offset(response.before_offset());
  }
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(total).c_str(), stdout);
  } else {
    fmt::print("sent again: {}\n", total.resent());
  }
  if (total.failed() == 0) return kOk;
  fmt::print(stderr, "dunlinctl: {} letters were not sent again and wait on: {}\n", total.failed(),
             total.failure());
  return kRefused;
}

int Purge(Connection& connection, const DlqOptions& options) {
  if (!Confirmed(options.yes,
                 fmt::format("letters of group {} that are purged are not sent again any more",
                             options.group))) {
    return kUsage;
  }
  admin::v1::PurgeDeadLettersRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_group(options.group);
  if (options.all) request.set_all(true);
  if (options.before_offset >= 0) request.set_before_offset(options.before_offset);
  if (!options.before_time.empty()) {
    google::protobuf::util::TimeUtil::FromString(options.before_time,
                                                 request.mutable_before_time());
  }
  admin::v1::PurgeDeadLettersResponse response;
  const auto context = connection.Context();
  const grpc::Status status =
      connection.admin().PurgeDeadLetters(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(response).c_str(), stdout);
  } else {
    fmt::print("purged: {}\n", response.purged());
  }
  return kOk;
}

CLI::App& AddVerb(CLI::App& dlq, const std::string& name, const std::string& what,
                  DlqOptions& options) {
  CLI::App& verb = *dlq.add_subcommand(name, what);
  verb.add_option("GROUP", options.group, "Name of the group")->required();
  return verb;
}

void AddResend(CLI::App& dlq, Command& command) {
  auto options = std::make_shared<DlqOptions>();
  CLI::App& resend = AddVerb(
      dlq, "resend", "Put letters into the topics they came from once more, for their group alone",
      *options);
  CLI::Option_group& which = *resend.add_option_group("which", "Which: exactly one");
  which.add_option("--offset", options->offset, "This letter, as `dlq show` numbers them")
      ->check(CLI::NonNegativeNumber);
  which.add_flag("--all", options->all, "All that wait now");
  which.require_option(1);
  resend.footer(
      "\nExamples:\n  dunlinctl dlq resend billing --offset 7\n"
      "  dunlinctl dlq resend billing --all");
  resend.callback([options, &command] {
    command = [options](Connection& connection) { return Resend(connection, *options); };
  });
}

void AddPurge(CLI::App& dlq, Command& command) {
  auto options = std::make_shared<DlqOptions>();
  CLI::App& purge = AddVerb(dlq, "purge",
                            "Have letters count as done; the log keeps them for as "
                            "long as it keeps everything",
                            *options);
  CLI::Option_group& which = *purge.add_option_group("which", "Which: exactly one");
  which.add_flag("--all", options->all, "All that are there");
  which.add_option("--before-offset", options->before_offset, "Those below this offset")
      ->check(CLI::NonNegativeNumber);
  which
      .add_option("--before-time", options->before_time,
                  "Those made before it, like 2026-11-20T22:00:00Z")
      ->check(CheckTime);
  which.require_option(1);
  AddYes(purge, options->yes);
  purge.footer("\nExample: dunlinctl dlq purge billing --before-time 2026-11-20T22:00:00Z --yes");
  purge.callback([options, &command] {
    command = [options](Connection& connection) { return Purge(connection, *options); };
  });
}

}  // namespace

void AddDlqCommands(CLI::App& app, Command& command) {
  CLI::App& dlq = *app.add_subcommand(
      "dlq", "Dead letters: messages that a group could not consume; list, show, resend, purge");
  dlq.require_subcommand(1);
  dlq.add_subcommand("list", "List the groups that have dead letters")->callback([&command] {
    command = List;
  });

  auto options = std::make_shared<DlqOptions>();
  CLI::App& show = AddVerb(dlq, "show",
                           "Show letters: what happened, and the message with the "
                           "place it came from",
                           *options);
  show.add_option("--from", options->offset, "From this offset on")->check(CLI::NonNegativeNumber);
  show.add_option("--limit", options->limit, "Most letters to show, 1 to 64")
      ->check(CLI::Range(1, 64));
  show.add_flag("--all", options->all, "Those that are done, too");
  show.callback([options, &command] {
    command = [options](Connection& connection) { return Show(connection, *options); };
  });

  AddResend(dlq, command);
  AddPurge(dlq, command);
}

}  // namespace dunlin::cli
