// RegistrationSession: keeps a broker registered with one name service.
//
// Connects, says hello, sends what topics have changed and all of them when asked, says every now
// and then that it is there, and begins again after a while when the call ends. Step does all of
// it, on one thread; nothing here waits for the name service.

#pragma once

#include <grpcpp/security/credentials.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "services/base/clock.h"
#include "services/broker/registration/registration_call.h"
#include "services/broker/registration/topic_journal.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// What a session has done, for metrics. Thread-safe.
struct RegistrationCounts {
  std::atomic<bool> registered = false;
  std::atomic<uint64_t> welcomes = 0;
  std::atomic<uint64_t> failures = 0;  // calls that ended
  std::atomic<uint64_t> tables_sent = 0;
  std::atomic<uint64_t> changes_sent = 0;
};

// What a member tells name services.
struct Registration {
  nameservice::v1::Hello hello;  // without the version of the topics
  std::shared_ptr<TopicTable> topics;
  std::shared_ptr<TopicJournal> journal;  // of these topics
};

class RegistrationSession {
 public:
  // Reads journals as `reader`. `on_news`: Step has something to do.
  RegistrationSession(std::string address, size_t reader, std::function<void()> on_news,
                      const std::shared_ptr<grpc::ChannelCredentials>& credentials =
                          grpc::InsecureChannelCredentials());
  // Ends the call, which takes the broker out of routes.
  ~RegistrationSession();

  // Does what there is to do; `registration` is what the broker is now. Returns when to come again
  // at the latest. One thread.
  Timestamp Step(Timestamp now, const Registration& registration);

  // Where the group's master is, "host:port", by what was heard last; empty when there is none or
  // nobody has said. The same thread.
  const std::string& master() const { return master_; }

  const std::string& address() const { return address_; }
  std::shared_ptr<const RegistrationCounts> counts() const { return counts_; }

 private:
  // Other topics than before, in a call that may be under way.
  void TakeOver(const Registration& registration);
  void Connect(Timestamp now);
  void Disconnect(Timestamp now, const grpc::Status& status);
  // The next request, if there is anything to say now.
  bool Next(Timestamp now, const nameservice::v1::Hello& hello,
            nameservice::v1::RegisterRequest& request);
  void BeginTable();
  void NextOfTable(nameservice::v1::TopicTable& table);
  void NextChanges(nameservice::v1::TopicChanges& changes);

  std::shared_ptr<TopicTable> topics_;
  std::shared_ptr<TopicJournal> journal_;
  const std::string address_;
  const size_t reader_;
  const std::function<void()> on_news_;
  const std::shared_ptr<RegistrationCounts> counts_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<nameservice::v1::RegistryService::Stub> stub_;

  std::unique_ptr<RegistrationCall> call_;  // null between two calls
  int failures_ = 0;                        // in a row
  Timestamp retry_at_;
  Timestamp called_at_;
  std::string said_hello_;  // the last hello of this call; empty: none
  bool welcomed_ = false;
  std::chrono::milliseconds session_timeout_{0};  // as the welcome says
  Timestamp wrote_at_;                            // the last request
  std::string master_;
  std::chrono::milliseconds heartbeat_{0};
  Timestamp heartbeat_at_;

  nameservice::v1::DataVersion told_;  // what the name service has been told, or is being
  // A table on its way.
  bool telling_ = false;
  size_t told_topics_ = 0;
  std::vector<std::shared_ptr<const Topic>> table_;
  // Changes that were taken and do not fit into one request.
  TopicJournal::Changes changes_;
};

}  // namespace dunlin::broker
