// Registrar: keeps the broker registered with its name services, each on its own.
//
// Owns a thread and the sessions. A change of topics is on its way at once, and so is a change of
// role: a member that takes another one opens its rooms anew, and its sessions go on meanwhile with
// the topics that it had.
//
// Thread-safe. When it stops, or the process dies, the sessions break and the broker is out of
// routes.

#pragma once

#include <grpcpp/security/credentials.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "proto/dunlin/nameservice/v1/registry.pb.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/broker/registration/registration_session.h"
#include "services/broker/registration/topic_journal.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

class Registrar {
 public:
  struct Options {
    std::vector<std::string> name_services;  // host:port
    std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
    // Who the broker is; the version of its topics is left out.
    nameservice::v1::Hello hello;
    // Asked every second: where clients outside reach the broker. May outlive the caller.
    std::function<apache::rocketmq::v2::Endpoints()> external_endpoints;
  };
  // `clock` must outlive the registrar. INVALID_ARGUMENT: a name service has no port.
  static absl::StatusOr<std::unique_ptr<Registrar>> Start(const Options& options,
                                                          std::shared_ptr<TopicTable> topics,
                                                          const Clock& clock);
  ~Registrar();

  struct Role {
    nameservice::v1::MemberRole role = nameservice::v1::MEMBER_ROLE_UNSPECIFIED;
    uint32_t id = 0;
    uint64_t epoch = 0;
  };
  // The member has another role, id or epoch now; said in the sessions that there are.
  void SetRole(const Role& role) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same when it has opened its rooms anew: these are its topics from now on.
  void SetRole(const Role& role, std::shared_ptr<TopicTable> topics) ABSL_LOCKS_EXCLUDED(mutex_);

  // Where the group's master is, "host:port", as far as name services have said; may be empty.
  std::string master() const ABSL_LOCKS_EXCLUDED(mutex_);

  struct Counts {
    std::string name_service;
    std::shared_ptr<const RegistrationCounts> counts;
  };
  std::vector<Counts> counts() const;

  // Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Registrar(const Options& options, std::shared_ptr<TopicTable> topics, const Clock& clock);
  // Of topics that are in a log of this epoch.
  std::shared_ptr<TopicJournal> MakeJournal(TopicTable& topics, uint64_t epoch);
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);

  const Clock& clock_;
  const std::function<apache::rocketmq::v2::Endpoints()> external_endpoints_;  // may be empty
  mutable Mutex mutex_;
  CondVar changed_;
  std::string master_ ABSL_GUARDED_BY(mutex_);
  bool news_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Registration registration_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<RegistrationSession>> sessions_;  // of the thread
  std::thread thread_;
};

}  // namespace dunlin::broker
