// Registrar: keeps the broker registered with its name services, each on its own.
//
// Owns a thread and the sessions. A change of topics is on its way at once. Members is what the
// roles room says: until then a broker is the master, with the epoch of its log.
//
// Thread-safe. When it stops, or the process dies, the sessions break and the broker is out of
// routes.

#pragma once

#include <cstdint>
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
    // Who the broker is; the version of its topics is left out.
    nameservice::v1::Hello hello;
  };
  // All must outlive the registrar. INVALID_ARGUMENT: a name service has no port.
  static absl::StatusOr<std::unique_ptr<Registrar>> Start(const Options& options,
                                                          TopicTable& topics, const Clock& clock);
  ~Registrar();

  // The member has another role, id or epoch now; said in the sessions that there are.
  void SetRole(nameservice::v1::MemberRole role, uint32_t id, uint64_t epoch)
      ABSL_LOCKS_EXCLUDED(mutex_);

  struct Counts {
    std::string name_service;
    std::shared_ptr<const RegistrationCounts> counts;
  };
  std::vector<Counts> counts() const;

  // Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Registrar(const Options& options, TopicTable& topics, const Clock& clock);
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_);

  const Clock& clock_;
  Mutex mutex_;
  CondVar changed_;
  bool news_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  nameservice::v1::Hello hello_ ABSL_GUARDED_BY(mutex_);
  const std::shared_ptr<TopicJournal> journal_;
  std::vector<std::unique_ptr<RegistrationSession>> sessions_;  // of the thread
  std::thread thread_;
};

}  // namespace dunlin::broker
