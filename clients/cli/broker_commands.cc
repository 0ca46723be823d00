#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "clients/cli/commands.h"

namespace dunlin::cli {
namespace {

int DescribeBroker(Connection& connection) {
  admin::v1::Broker broker;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().GetBroker(context.get(), {}, &broker);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(broker).c_str(), stdout);
    return kOk;
  }
  std::string damage = "none";
  if (broker.damage_size() > 0) {
    damage.clear();
    for (const admin::v1::DamagedRange& range : broker.damage()) {
      damage += fmt::format("{}{}-{}", damage.empty() ? "" : " ", range.begin(), range.end());
    }
  }
  std::fputs(
      Table(
          {
              {"broker", broker.name()},
              {"cluster", broker.cluster()},
              {"version", broker.version()},
              {"running since (UTC)",
               TimeText(broker.start_time().seconds(), broker.start_time().nanos())},
              {"epoch", std::to_string(broker.epoch())},
              {"log", fmt::format("{} to {} in {} segments, {} on disk", broker.log_start(),
                                  broker.appended(), broker.segments(),
                                  BytesText(broker.bytes_on_disk()))},
              {"not yet flushed", BytesText(broker.appended() - broker.flushed())},
              {"not yet indexed", BytesText(broker.appended() - broker.dispatched())},
              {"damaged ranges", damage},
              {"damaged messages met", std::to_string(broker.damaged_messages())},
              {"disk full", broker.disk_full() ? "yes: sends are refused" : "no"},
              {"topics", std::to_string(broker.topics())},
              {"consumer groups", std::to_string(broker.groups())},
              {"clients", std::to_string(broker.clients())},
              {"delayed messages", std::to_string(broker.delayed_messages())},
              {"open transactions", fmt::format("{}, {} of them parked", broker.open_transactions(),
                                                broker.parked_transactions())},
              {"streamed messages", fmt::format("{}; {} readers came to be served by the disk",
                                                broker.streamed_messages(), broker.cold_readers())},
              {"waiting polls", std::to_string(broker.waiting_polls())},
              {"pending sends",
               fmt::format("{} calls, {}; {} refused since the start", broker.pending_calls(),
                           BytesText(broker.pending_bytes()), broker.refused_sends())},
          })
          .c_str(),
      stdout);
  return kOk;
}

int Checkpoint(Connection& connection) {
  admin::v1::CheckpointResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().Checkpoint(context.get(), {}, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(response).c_str(), stdout);
  } else {
    fmt::print("everything below {} is on disk\n", response.dispatched());
  }
  return kOk;
}

std::string KindText(int32_t client_type) {
  namespace v2 = apache::rocketmq::v2;
  if (client_type == v2::CLIENT_TYPE_UNSPECIFIED || !v2::ClientType_IsValid(client_type))
    return "-";
  return v2::ClientType_Name(static_cast<v2::ClientType>(client_type));
}

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

int ListClients(Connection& connection) {
  admin::v1::ListClientsResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.admin().ListClients(context.get(), {}, &response);
  if (!status.ok()) return connection.Report(status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(response).c_str(), stdout);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"CLIENT", "KIND", "GROUP", "LANGUAGE", "VERSION", "PEER", "LAST SEEN (UTC)"}};
  for (const admin::v1::Client& client : response.clients()) {
    rows.push_back({client.client_id(), KindText(client.client_type()), OrDash(client.group()),
                    OrDash(client.language()), OrDash(client.version()), OrDash(client.peer()),
                    TimeText(client.last_seen().seconds(), client.last_seen().nanos())});
  }
  std::fputs(Table(rows).c_str(), stdout);
  return kOk;
}

}  // namespace

void AddBrokerCommands(CLI::App& app, Command& command) {
  CLI::App& broker = *app.add_subcommand("broker", "Look at the broker, make it save");
  broker.require_subcommand(1);
  broker.add_subcommand("describe", "Show its log, what is behind, what is damaged")
      ->callback([&command] { command = DescribeBroker; });
  broker
      .add_subcommand("checkpoint",
                      "Write everything to disk: a restart after it has nothing to replay")
      ->callback([&command] { command = Checkpoint; });
  CLI::App& client = *app.add_subcommand("client", "Look at connected clients");
  client.require_subcommand(1);
  client.add_subcommand("list", "List producers and consumers")->callback([&command] {
    command = ListClients;
  });
}

}  // namespace dunlin::cli
