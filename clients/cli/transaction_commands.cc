#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "clients/cli/commands.h"
#include "clients/cli/message_text.h"
#include "clients/cli/pages.h"

namespace dunlin::cli {
namespace {

using admin::v1::Transaction;

struct TransactionOptions {
  std::string topic;
  std::string id;
  bool parked = false;
};

std::vector<std::string> Header() {
  return {"TRANSACTION", "TOPIC", "STATE", "MESSAGE", "STORED (UTC)", "CHECKS", "NEXT CHECK (UTC)"};
}

std::vector<std::string> Row(const Transaction& transaction) {
  const auto& stored = transaction.store_time();
  const auto& next = transaction.next_check_time();
  return {transaction.transaction_id(),
          transaction.topic(),
          admin::v1::TransactionState_Name(transaction.state()),
          transaction.message_id(),
          TimeText(stored.seconds(), stored.nanos()),
          std::to_string(transaction.checks()),
          TimeText(next.seconds(), next.nanos())};
}

template <typename Request>
Request RequestFor(const Connection& connection, const TransactionOptions& options) {
  Request request;
  request.set_namespace_(connection.options().name_space);
  request.set_topic(options.topic);
  request.set_transaction_id(options.id);
  return request;
}

int List(Connection& connection, const TransactionOptions& options) {
  admin::v1::ListTransactionsRequest request;
  request.set_namespace_(connection.options().name_space);
  request.set_topic(options.topic);
  request.set_parked(options.parked);
  admin::v1::ListTransactionsResponse all;
  const grpc::Status status =
      GetPages(connection, &admin::v1::AdminService::Stub::ListTransactions, request, all);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(all).c_str(), stdout);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {Header()};
  for (const Transaction& transaction : all.transactions()) rows.push_back(Row(transaction));
  std::fputs(Table(rows).c_str(), stdout);
  return kOk;
}

int Show(Connection& connection, const TransactionOptions& options) {
  const auto request = RequestFor<admin::v1::GetTransactionRequest>(connection, options);
  admin::v1::GetTransactionResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().GetTransaction(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(response).c_str(), stdout);
    return kOk;
  }
  std::fputs(Table({Header(), Row(response.transaction())}).c_str(), stdout);
  apache::rocketmq::v2::Message message;
  if (!response.message().empty() && message.ParseFromString(response.message())) {
    fmt::print("\n{}", MessageText(message));
  }
  return kOk;
}

int Resolve(Connection& connection, const TransactionOptions& options,
            admin::v1::Resolution resolution) {
  auto request = RequestFor<admin::v1::ResolveTransactionRequest>(connection, options);
  request.set_resolution(resolution);
  admin::v1::ResolveTransactionResponse response;
  const auto context = connection.Context();
  return connection.Report(
      connection.admin().ResolveTransaction(context.get(), request, &response));
}

int Recheck(Connection& connection, const TransactionOptions& options) {
  const auto request = RequestFor<admin::v1::RecheckTransactionRequest>(connection, options);
  admin::v1::RecheckTransactionResponse response;
  const auto context = connection.Context();
  return connection.Report(
      connection.admin().RecheckTransaction(context.get(), request, &response));
}

}  // namespace

void AddTransactionCommands(CLI::App& app, Command& command) {
  auto options = std::make_shared<TransactionOptions>();
  CLI::App& transaction =
      *app.add_subcommand("transaction", "Look at open transactions; end them, check them again");
  transaction.require_subcommand(1);

  CLI::App& list = *transaction.add_subcommand("list", "List open transactions, oldest first");
  list.add_option("TOPIC", options->topic, "Only those of the topic");
  list.add_flag("--parked", options->parked,
                "Only those that are checked no more: no producer said how they ended");
  list.callback([options, &command] {
    command = [options](Connection& connection) { return List(connection, *options); };
  });

  const auto add = [&](const char* name, const char* what, auto obey) {
    CLI::App& one = *transaction.add_subcommand(name, what);
    one.add_option("TOPIC", options->topic, "Which topic")->required();
    one.add_option("TRANSACTION", options->id, "Which one, as `transaction list` shows it")
        ->required();
    one.callback([options, &command, obey] {
      command = [options, obey](Connection& connection) { return obey(connection, *options); };
    });
  };
  add("show", "Show a transaction and its half message", Show);
  add("commit", "Commit a transaction in place of its producer",
      [](Connection& connection, const TransactionOptions& one) {
        return Resolve(connection, one, admin::v1::COMMIT);
      });
  add("rollback", "Roll a transaction back in place of its producer",
      [](Connection& connection, const TransactionOptions& one) {
        return Resolve(connection, one, admin::v1::ROLLBACK);
      });
  add("recheck", "Ask producers again how a transaction ended, also when it is parked", Recheck);
}

}  // namespace dunlin::cli
