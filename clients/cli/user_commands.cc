#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/access_rule_text.h"
#include "clients/cli/cluster.h"
#include "clients/cli/cluster_users.h"
#include "clients/cli/commands.h"
#include "clients/cli/confirm.h"
#include "clients/cli/credentials.h"
#include "clients/cli/pages.h"

namespace dunlin::cli {
namespace {

using admin::v1::AccessRule;
using admin::v1::User;

struct UserOptions {
  std::string name;
  bool super = false;
  bool normal = false;
  bool enabled = false;
  bool disabled = false;
  std::optional<std::string> description;
  std::string secret_file;
  bool generate = false;
  std::vector<std::string> allowed;
  std::vector<std::string> denied;
  std::vector<std::string> also_allowed;
  std::vector<std::string> also_denied;
  std::vector<std::string> no_longer_allowed;
  std::vector<std::string> no_longer_denied;
  bool no_rules = false;
  bool yes = false;
};

std::string TypeText(const User& user) {
  return user.type() == admin::v1::SUPER_USER ? "SUPER" : "NORMAL";
}

std::vector<std::string> Row(const User& user) {
  return {user.name(),
          TypeText(user),
          user.enabled() ? "ENABLED" : "DISABLED",
          std::to_string(user.rules_size()),
          OrDash(user.secret_fingerprint()),
          TimeText(user.create_time().seconds(), user.create_time().nanos()),
          user.description()};
}

std::vector<std::string> Header() {
  return {"USER", "TYPE", "STATE", "RULES", "SECRET FINGERPRINT", "CREATED (UTC)", "DESCRIPTION"};
}

void Show(const Connection& connection, const User& user) {
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, user);
    return;
  }
  std::fputs(Table({Header(), Row(user)}).c_str(), stdout);
  if (user.rules().empty()) return;
  std::vector<std::vector<std::string>> rows = {{"DECISION", "RULE"}};
  for (const AccessRule& rule : user.rules()) {
    rows.push_back({rule.decision() == AccessRule::DENY ? "DENY" : "ALLOW", RuleText(rule)});
  }
  fmt::print("\n{}", Table(rows));
}

// Says a secret that was made for it, too: this is the only time that anybody can.
ShowUser ShowWith(const std::string& generated) {
  return [generated](const Connection& connection, const User& user) {
    if (connection.options().format == Format::kJson) {
      User told = user;
      told.set_secret(generated);
      return Show(connection, told);
    }
    Show(connection, user);
    if (!generated.empty()) fmt::print("\nsecret key, which is not shown again: {}\n", generated);
  };
}

// The secret of the options; empty: none is given. False: it was said why there is none.
bool TakeSecret(const UserOptions& options, std::string& secret) {
  if (options.generate) {
    secret = GenerateSecret();
    return true;
  }
  if (options.secret_file.empty()) return true;
  absl::StatusOr<std::string> read = ReadSecret(options.secret_file);
  const absl::Status status = read.ok() ? CheckSecret(*read) : read.status();
  if (!status.ok()) {
    fmt::print(stderr, "dunlinctl: {}: {}\n", options.secret_file, std::string(status.message()));
    return false;
  }
  secret = *std::move(read);
  return true;
}

// Rules of options were checked when they were parsed. One that is there already stays alone.
void AddRules(const std::vector<std::string>& texts, AccessRule::Decision decision, User& user) {
  for (const std::string& text : texts) {
    AccessRule rule = *ParseRule(text, decision);
    const bool known =
        std::any_of(user.rules().begin(), user.rules().end(), [&](const AccessRule& other) {
          return other.decision() == decision && RuleText(other) == RuleText(rule);
        });
    if (!known) *user.add_rules() = std::move(rule);
  }
}

// Whether it was there. A command may be repeated: at some groups it may have been done.
bool RemoveRule(const std::string& text, AccessRule::Decision decision, User& user) {
  const std::string wanted = RuleText(*ParseRule(text, decision));
  auto& rules = *user.mutable_rules();
  const auto kept = std::remove_if(rules.begin(), rules.end(), [&](const AccessRule& rule) {
    return rule.decision() == decision && RuleText(rule) == wanted;
  });
  const bool found = kept != rules.end();
  rules.erase(kept, rules.end());
  return found;
}

// Sets what is given.
// Of `options.removed_...` those that it had are put into `removed`.
void Apply(const UserOptions& options, const std::string& secret, User& user,
           std::set<std::string>& removed) {
  user.set_secret(secret);
  if (options.super) user.set_type(admin::v1::SUPER_USER);
  if (options.normal) user.set_type(admin::v1::NORMAL_USER);
  if (options.enabled) user.set_enabled(true);
  if (options.disabled) user.set_enabled(false);
  if (options.description.has_value()) user.set_description(*options.description);
  if (options.no_rules || !options.allowed.empty() || !options.denied.empty()) user.clear_rules();
  for (const std::string& text : options.no_longer_allowed) {
    if (RemoveRule(text, AccessRule::ALLOW, user)) removed.insert(text);
  }
  for (const std::string& text : options.no_longer_denied) {
    if (RemoveRule(text, AccessRule::DENY, user)) removed.insert(text);
  }
  AddRules(options.allowed, AccessRule::ALLOW, user);
  AddRules(options.also_allowed, AccessRule::ALLOW, user);
  AddRules(options.denied, AccessRule::DENY, user);
  AddRules(options.also_denied, AccessRule::DENY, user);
}

int Create(Connection& connection, const UserOptions& options) {
  if (!options.generate && options.secret_file.empty()) {
    fmt::print(stderr,
               "dunlinctl: user {} needs a secret key: --secret-file FILE names the file it is in, "
               "--generate makes one and shows it\n",
               options.name);
    return kUsage;
  }
  std::string secret;
  if (!TakeSecret(options, secret)) return kUsage;
  User user;
  user.set_name(options.name);
  std::set<std::string> removed;  // nothing is
  Apply(options, secret, user, removed);
  return CreateUserEverywhere(connection, user, ShowWith(options.generate ? secret : ""));
}

bool ChangesNothing(const UserOptions& options) {
  const bool sets_flag = options.super || options.normal || options.enabled || options.disabled ||
                         options.generate || options.no_rules;
  return !sets_flag && !options.description.has_value() && options.secret_file.empty() &&
         options.allowed.empty() && options.denied.empty() && options.also_allowed.empty() &&
         options.also_denied.empty() && options.no_longer_allowed.empty() &&
         options.no_longer_denied.empty();
}

// Says which rules no group had. How the command ends then.
int TellNotFound(const UserOptions& options, const std::set<std::string>& removed) {
  int exit = kOk;
  for (const auto* const texts : {&options.no_longer_allowed, &options.no_longer_denied}) {
    for (const std::string& text : *texts) {
      if (removed.contains(text)) continue;
      fmt::print(stderr,
                 "dunlinctl: user {0} has no rule to {1} {2}: `dunlinctl user get {0}` shows those "
                 "that it has\n",
                 options.name, texts == &options.no_longer_allowed ? "allow" : "deny", text);
      exit = kNotFound;
    }
  }
  return exit;
}

int Update(Connection& connection, const UserOptions& options) {
  if (ChangesNothing(options)) {
    fmt::print(stderr,
               "dunlinctl: nothing of user {0} is to be changed: `user update {0} --help` shows "
               "what can be\n",
               options.name);
    return kUsage;
  }
  std::string secret;
  if (!TakeSecret(options, secret)) return kUsage;
  UserChange change;
  change.name = options.name;
  std::set<std::string> removed;
  change.apply = [&](User& user) { Apply(options, secret, user, removed); };
  change.again =
      options.generate ? "the same with the secret below in a --secret-file and" : "the same with";
  bool changed = false;
  const int exit =
      UpdateUserEverywhere(connection, change, ShowWith(options.generate ? secret : ""), changed);
  // Some have it now, and nobody else knows it.
  if (exit != kOk && changed && options.generate) {
    fmt::print(stderr, "secret key, which is not shown again: {}\n", secret);
  }
  return exit == kOk ? TellNotFound(options, removed) : exit;
}

int List(Connection& connection) {
  admin::v1::ListUsersResponse all;
  const grpc::Status status = GetPages(connection, &admin::v1::AdminService::Stub::ListUsers,
                                       admin::v1::ListUsersRequest(), all);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    PrintJson(connection, all);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {Header()};
  for (const User& user : all.users()) rows.push_back(Row(user));
  std::fputs(Table(rows).c_str(), stdout);
  return kOk;
}

int Delete(Connection& connection, const UserOptions& options) {
  const std::string consequence =
      fmt::format("deleting user {} turns away whoever signs with its keys", options.name);
  if (!Confirmed(options.yes, consequence)) return kUsage;
  return DeleteUserEverywhere(connection, options.name);
}

// Of options that take a rule.
std::string CheckRuleText(const std::string& text) {
  return std::string(ParseRule(text, AccessRule::ALLOW).status().message());
}

void AddName(CLI::App& command, UserOptions& options) {
  command
      .add_option("NAME", options.name,
                  "Name of the user, which SDKs call the access key: 1 to 64 of a-z A-Z 0-9 _ . -")
      ->required();
}

void AddSpec(CLI::App& command, UserOptions& options) {
  AddName(command, options);
  CLI::Option* const super =
      command.add_flag("--super", options.super, "It may do everything, and has no rules");
  CLI::Option* const enabled =
      command.add_flag("--enabled", options.enabled, "It may sign requests");
  command
      .add_flag("--disabled", options.disabled,
                "It is turned away until it is enabled again, and keeps its rules")
      ->excludes(enabled);
  command.add_option("--description", options.description, "Who or what it is");
  CLI::Option* const file =
      command
          .add_option("--secret-file", options.secret_file,
                      "File with its secret, which SDKs call the secret key: 8 to 256 printable "
                      "ASCII characters without a space; white space at both ends is left out")
          ->type_name("FILE");
  command
      .add_flag("--generate", options.generate,
                "Make a secret of 32 characters and show it, this once")
      ->excludes(file);
  constexpr char kSyntax[] = "RESOURCE:NAME:ACTIONS[@RANGES]";
  command
      .add_option(
          "--allow", options.allowed,
          "A rule of what it may do, as in topic:orders:pub,sub, see below; may be repeated")
      ->type_name(kSyntax)
      ->allow_extra_args(false)
      ->check(CheckRuleText)
      ->excludes(super);
  command
      .add_option("--deny", options.denied,
                  "A rule of what it may not do, whatever allows it; may be repeated")
      ->type_name(kSyntax)
      ->allow_extra_args(false)
      ->check(CheckRuleText)
      ->excludes(super);
}

constexpr char kRules[] =
    "\nRules:\n"
    "  topic:orders:pub                   send to topic orders; with topic:ns/orders that of "
    "namespace ns\n"
    "  topic:orders*:pub,sub              all topics that begin so, in the same namespace; all of "
    "the default one: topic:/*\n"
    "  group:*:sub                        be a consumer of any group, in all namespaces\n"
    "  namespace:team-a:all               everything with the topics and groups of a namespace\n"
    "  cluster:get                        what is of no topic and no group\n"
    "  topic:orders:pub@10.0.0.0/8,::1    only from these addresses\n"
    "Actions: all, or some of pub, sub, create, update, delete, get, list. To consume takes sub on "
    "the topic and on\n"
    "the group. What no rule allows is refused.\n";

// Changes of single rules; the others stay.
void AddRuleChanges(CLI::App& update, UserOptions& options) {
  const auto add = [&](const char* name, std::vector<std::string>& rules, const char* text) {
    update.add_option(name, rules, text)
        ->type_name("RULE")
        ->allow_extra_args(false)
        ->check(CheckRuleText)
        ->excludes(update.get_option("--allow"))
        ->excludes(update.get_option("--deny"))
        ->excludes(update.get_option("--no-rules"));
  };
  add("--add-allow", options.also_allowed,
      "One more rule of what it may do; the others stay; may be repeated");
  add("--add-deny", options.also_denied,
      "One more rule of what it may not do; the others stay; may be repeated");
  add("--remove-allow", options.no_longer_allowed,
      "A rule to allow that it is not to have any more, as `user get` shows it; may be repeated");
  add("--remove-deny", options.no_longer_denied,
      "A rule to deny that it is not to have any more, as `user get` shows it; may be repeated");
}

void AddChanges(CLI::App& user, Command& command, const std::shared_ptr<UserOptions>& options) {
  CLI::App& create = *user.add_subcommand(
      "create", "Create a user; in a cluster at all broker groups, or at none");
  AddSpec(create, *options);
  create.footer(std::string(kRules) +
                "\nExamples:\n"
                "  dunlinctl user create shop --generate --allow topic:orders:pub\n"
                "  dunlinctl user create billing --secret-file billing.secret \\\n"
                "      --allow topic:orders:sub --allow group:billing:sub");
  create.callback([options, &command] {
    command = [options](Connection& connection) { return Create(connection, *options); };
  });

  CLI::App& update = *user.add_subcommand(
      "update",
      "Change a user; what is not given stays as it is. Rules given by --allow and --deny are all "
      "that it has then; --add-allow, --add-deny, --remove-allow and --remove-deny change single "
      "ones");
  AddSpec(update, *options);
  update.add_flag("--normal", options->normal, "It may do what its rules allow")
      ->excludes(update.get_option("--super"));
  update
      .add_flag("--no-rules", options->no_rules,
                "It has no rules any more; needed with --super when it has some")
      ->excludes(update.get_option("--allow"))
      ->excludes(update.get_option("--deny"));
  AddRuleChanges(update, *options);
  update.footer(std::string(kRules) +
                "\nExamples:\n"
                "  dunlinctl user update shop --add-allow topic:refunds:pub\n"
                "  dunlinctl user update shop --remove-allow topic:refunds:pub --add-deny "
                "'topic:secret*:all'\n"
                "  dunlinctl user update shop --disabled");
  update.callback([options, &command] {
    command = [options](Connection& connection) { return Update(connection, *options); };
  });
}

}  // namespace

void AddUserCommands(CLI::App& app, Command& command) {
  auto options = std::make_shared<UserOptions>();
  CLI::App& user = *app.add_subcommand(
      "user", "Create, change, list, get, delete users: who may call brokers, and for what");
  user.require_subcommand(1);
  AddChanges(user, command, options);

  CLI::App& get = *user.add_subcommand(
      "get", "Show a user and its rules, and say where broker groups differ about it");
  AddName(get, *options);
  get.callback([options, &command] {
    command = [options](Connection& connection) {
      return GetUserEverywhere(connection, options->name, Show);
    };
  });

  user.add_subcommand("list", "List all users")->callback([&command] {
    command = [](Connection& connection) { return AtAll(connection, List); };
  });

  CLI::App& remove = *user.add_subcommand("delete", "Delete a user");
  AddName(remove, *options);
  AddYes(remove, options->yes);
  remove.callback([options, &command] {
    command = [options](Connection& connection) { return Delete(connection, *options); };
  });
}

}  // namespace dunlin::cli
