// What belongs to a cluster and is kept by each of its broker groups: topics, consumer groups and
// users. It is made at all of them or at none, changed at all that have it or at none where a
// change can be taken back, and gone from all of them when it was deleted. All are asked before
// anything is done.

#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>
#include <vector>

#include "clients/cli/cluster.h"
#include "clients/cli/connection.h"

namespace dunlin::cli {

struct ClusterObject {
  std::string kind;    // in sentences: "consumer group"
  std::string family;  // what its commands begin with: "group"
  std::string name;
  std::string globals;  // options that commands about it need, each behind a blank
  std::function<grpc::Status(Connection&)> create;
  std::function<grpc::Status(Connection&)> get;
  std::function<grpc::Status(Connection&)> remove;
};

// Each function is called with brokers where `get` of the object found it.
struct ClusterChange {
  std::function<grpc::Status(Connection&)> apply;
  // What it is there for good, and the change would have otherwise: "is compacted and stays so".
  // Empty: nothing. May be null.
  std::function<std::string(const Connection&)> conflict;
  // Puts back what `get` found. Null: nobody can, and the change goes on where it can be made.
  std::function<grpc::Status(Connection&)> undo;
  // The command that does the same, behind the options of dunlinctl; empty: there is none.
  std::function<std::string(const Connection&)> undo_command;
  // Without `undo`: how to do at a group that is left what was done at the others, as in "the same
  // with"; and what makes it at a group that has none, which is an error then.
  std::string again;
  std::string make;
};

bool IsNotFound(const grpc::Status& status);
// Of brokers that were found: a name service told of them.
bool IsCluster(const std::vector<Broker>& brokers);

// At all broker groups, or those that --broker names; when one of them does not make it, what the
// others made is taken back, and what could not be is told. `made`: where it is.
int CreateAtAllOrNone(Connection& connection, const ClusterObject& object,
                      std::vector<Broker>& made);
// Wherever it is; tells group by group what is where, and how to mend it, unless it is changed at
// all of them or at none. `changed`: where the change is in force, or may be.
int UpdateAtAll(Connection& connection, const ClusterObject& object, const ClusterChange& change,
                std::vector<Broker>& changed);
// Deletes it wherever it is, which cannot be taken back; tells group by group when one fails.
int DeleteAtAll(Connection& connection, const ClusterObject& object);

// "at broker groups: a, b" when people read it and there are such.
void ShowWhere(const Connection& connection, const std::vector<Broker>& brokers);

}  // namespace dunlin::cli
