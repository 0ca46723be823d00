// The brokers that a command is about: the one at the endpoint or, when a name service is there,
// those of its cluster.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "clients/cli/connection.h"

namespace dunlin::cli {

struct Broker {
  std::string group;  // empty: the server at the endpoint, which is no name service
  std::string endpoint;
  std::shared_ptr<Connection> connection;  // null: nobody of the group takes commands now
};

// All broker groups, or those that --broker names. Not kOk: it was reported.
int FindBrokers(Connection& connection, std::vector<Broker>& found);
// As FindBrokers, for what is to be so at all of them: also groups that have gone and are
// remembered, or that a name service which has just started waits for. kUnreachable when one cannot
// be reached.
int FindReachable(Connection& connection, std::vector<Broker>& found);
// Those that hold the topic, and take messages of it if `writable`.
int FindHolders(Connection& connection, const std::string& topic, bool writable,
                std::vector<Broker>& found);

// Runs `command` at every broker and says which it is; the first exit status that is not kOk.
int AtAll(Connection& connection, const Command& command);
// The same where what the command is about may be at some of them only: kNotFound if it is at none.
int AtHolders(Connection& connection, const std::string& what, const Command& command);

// One JSON object; says which broker it is of when a name service named it.
void PrintJson(const Connection& connection, const google::protobuf::Message& message);

}  // namespace dunlin::cli
