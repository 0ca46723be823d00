// What belongs to a cluster and is kept by each of its broker groups: topics and users. It is made
// at all of them or at none, and gone from all of them when it was deleted.

#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>
#include <vector>

#include "clients/cli/cluster.h"
#include "clients/cli/connection.h"

namespace dunlin::cli {

struct ClusterObject {
  std::string kind;  // what its family of commands is called: "topic"
  std::string name;
  std::string globals;  // options that commands about it need, each behind a blank
  std::function<grpc::Status(Connection&)> create;
  std::function<grpc::Status(Connection&)> get;
  std::function<grpc::Status(Connection&)> remove;
};

bool IsNotFound(const grpc::Status& status);
// Nobody knows whether it was done.
bool IsOpen(const grpc::Status& status);
// Of brokers that were found: a name service told of them.
bool IsCluster(const std::vector<Broker>& brokers);

// At all broker groups, or those that --broker names; when one of them does not make it, what the
// others made is taken back, and what could not be is told. `made`: where it is.
int CreateAtAllOrNone(Connection& connection, const ClusterObject& object,
                      std::vector<Broker>& made);
// Deletes it wherever it is; tells group by group when one fails.
int DeleteAtAll(Connection& connection, const ClusterObject& object);

// "at broker groups: a, b" when people read it and there are such.
void ShowWhere(const Connection& connection, const std::vector<Broker>& brokers);

}  // namespace dunlin::cli
