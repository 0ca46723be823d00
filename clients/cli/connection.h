// Connection: the channel to a broker, and what every command shares.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "clients/cli/output.h"
#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "services/base/request_signature.h"

namespace dunlin::cli {

// Exit statuses of dunlinctl; documented in its help.
enum Exit : int { kOk = 0, kRefused = 1, kUsage = 2, kUnreachable = 3, kNotFound = 4 };

struct GlobalOptions {
  // Of a broker or of a name service; or several with commas in between, of which one is used.
  std::string endpoint = "127.0.0.1:8081";
  // Names of broker groups; empty: all of the cluster.
  std::vector<std::string> brokers;
  // The group that a name service says is at the endpoint; empty: nobody said.
  std::string broker_group;
  std::string name_space;
  bool tls = false;
  std::string tls_ca;  // PEM file; empty: the system's
  std::string secret_key_file;
  // What requests are signed with, once complete; without an access key they are not.
  Credentials credentials;
  int timeout_seconds = 10;
  Format format = Format::kTable;
};

class Connection {
 public:
  explicit Connection(const GlobalOptions& options);

  admin::v1::AdminService::Stub& admin() { return *admin_; }
  apache::rocketmq::v2::MessagingService::Stub& messaging() { return *messaging_; }
  // Of the name service at the endpoint.
  nameservice::v1::RegistryService::Stub& registry() { return *registry_; }
  // For other services than these.
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const GlobalOptions& options() const { return options_; }
  const std::string& client_id() const { return client_id_; }

  // With the client's headers, signed, and a deadline `more` behind the usual one.
  std::unique_ptr<grpc::ClientContext> Context(std::chrono::seconds more = {}) const;

  // Prints what went wrong and the way out; the exit status.
  int Report(const grpc::Status& status) const;
  int Report(const apache::rocketmq::v2::Status& status) const;

  // What is not found is no error here: Report says nothing of it.
  void TolerateAbsence() { tolerates_absence_ = true; }
  // Gives others the time.
  static void Pause(std::chrono::milliseconds pause);

  // Host and port of the endpoint, for requests that name it.
  apache::rocketmq::v2::Endpoints Endpoints() const;

 private:
  const GlobalOptions options_;
  bool tolerates_absence_ = false;
  const std::string client_id_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<admin::v1::AdminService::Stub> admin_;
  std::unique_ptr<apache::rocketmq::v2::MessagingService::Stub> messaging_;
  std::unique_ptr<nameservice::v1::RegistryService::Stub> registry_;
};

// One command: called when its turn has come; returns the exit status.
using Command = std::function<int(Connection&)>;

}  // namespace dunlin::cli
