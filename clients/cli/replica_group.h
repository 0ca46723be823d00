// A broker group as its members tell it at the ports of their replicators: for `replica`.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/connection.h"
#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/replicator/transport/secret.h"

namespace dunlin::cli {

// The replicator at the endpoint; or, when a name service is there, one of each broker group that
// --broker names, all of them without it. Not kOk: it was reported.
int FindReplicators(Connection& connection, std::vector<Connection>& found);
// The same where the command is about one group.
int FindReplicator(Connection& connection, std::optional<Connection>& found);

// To another member of the group.
Connection ConnectTo(const Connection& connection, const std::string& address);

// As Connection::Report, of what a replicator said: it knows its group's secret, and no users.
int ReportReplicator(const Connection& connection, const grpc::Status& status);

grpc::Status AskMember(const Connection& connection, replication::v1::GetMemberResponse& member);

struct GroupAnswers {
  using Answer =
      std::pair<replication::v1::MemberAddress, std::optional<replication::v1::GetMemberResponse>>;
  std::vector<Answer> members;  // by their own words; nothing from those that do not answer
  // By its role or, if nobody has that, by its lease: it may be elected and not able to begin.
  // Empty: nobody says to be it.
  replication::v1::GetMemberResponse master;
  std::string master_address;
};
// Everybody that `first` knows.
GroupAnswers AskAll(const Connection& connection, const replication::v1::GetMemberResponse& first);
// Of a group that has a master; kRefused otherwise, and reported.
int AskMaster(const Connection& connection, GroupAnswers& group);

// Who changes something: with the secret of the group, if there is one.
class Operator {
 public:
  explicit Operator(replicator::Secret secret) : secret_(std::move(secret)) {}

  replication::v1::Credential CredentialFor(const char* method,
                                            const replication::v1::GetMemberResponse& called,
                                            const std::string& argument) const;

 private:
  const replicator::Secret secret_;
};
// kUsage when the secret cannot be read.
int WithSecret(const std::string& file, const std::function<int(const Operator&)>& act);

}  // namespace dunlin::cli
