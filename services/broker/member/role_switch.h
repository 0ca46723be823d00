// RoleSwitch: carries out on the broker's side what the replicator beside it has decided: no role,
// slave, or master of an epoch. A slave serves reads, passes requests on to the master, and
// refuses the rest.
//
// A change of role is a stop of what was open and an opening of what is wanted, the same way as a
// restart of the program takes. The port stays the same; its connections do not. One thread
// (`role`) looks at the control page, does it, and says on the page what it has done. A slave that
// becomes master stays in routes meanwhile.
//
// What a crash leaves is what a crash of the broker leaves: the next process looks at the page, and
// opens what is wanted then.

#pragma once

#include <grpcpp/security/credentials.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/broker/admin/broker_metrics.h"
#include "services/broker/broker.h"
#include "services/broker/member/not_master_service.h"
#include "services/broker/member/role_metrics.h"
#include "services/broker/registration/registrar.h"
#include "services/broker/rpc/other_brokers.h"
#include "services/runtime/grpc_server.h"
#include "services/store/log/control_page.h"

namespace dunlin::broker {

class RoleSwitch {
 public:
  // Takes the port, answers that there is no role yet, and starts the thread. All must outlive it.
  // `on_failure` is called once, on the thread, when what is open has failed for good although the
  // role is the same: the process should stop, and recover at its next start.
  static absl::StatusOr<std::unique_ptr<RoleSwitch>> Start(const config::v1::DunlinConfig& config,
                                                           FileSystem& files, const Clock& clock,
                                                           std::function<void()> on_failure);
  ~RoleSwitch();  // Stop

  uint16_t port() const { return port_; }
  // Of the server that is there now; may be called after the end.
  std::function<AcceptorCounts()> connection_counter() const;
  // Of the broker that is there now; may be asked after the end.
  std::shared_ptr<BrokerMetrics> broker_metrics() const { return broker_metrics_; }

  // What name services know of the role that is open; may be collected after the end.
  std::shared_ptr<prometheus::Collectable> registration_metrics() const {
    return registration_metrics_;
  }

  // Closes everything, and says so on the page. Idempotent.
  absl::Status Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Of the server at the time, for metrics.
  struct Counter {
    Mutex mutex;
    std::function<AcceptorCounts()> now ABSL_GUARDED_BY(mutex);
  };

  RoleSwitch(const config::v1::DunlinConfig& config, FileSystem& files, const Clock& clock,
             std::function<void()> on_failure, std::unique_ptr<store::ControlPage> page,
             const std::shared_ptr<grpc::ChannelCredentials>& peer_credentials);

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // False when it is time to stop.
  bool Sleep() ABSL_LOCKS_EXCLUDED(mutex_);
  void Step();
  // Takes the role, or says when it is tried again.
  void TakeRole(const store::Wanted& wanted);
  absl::Status OpenRole(const store::Wanted& wanted);
  absl::Status OpenMaster(const store::Wanted& wanted);
  absl::Status OpenSlave();
  // As what the member is in its group, as soon as that is known, and again when that changes.
  absl::Status RegisterSlave();
  // What is open, on the port; `standing` is what name services are told.
  absl::Status Register(Broker::Standing standing);
  // For what is opened next.
  void CloseRole(store::Role next);
  bool IsSlave() const { return broker_ != nullptr && carried_out_.role == store::Role::kSlave; }
  // The lease of a master has been over for a while: what waits for it is not kept waiting.
  bool LeaseIsLost() const;
  // What is open, unless it has failed.
  absl::Status Health() const;
  // On the port, which it takes at first.
  absl::Status Serve(const GrpcServices& services);
  // These, and what else is asked is refused.
  absl::Status ServeOnly(const std::vector<grpc::Service*>& services, const std::string& why);
  absl::Status ServeRefusals();
  absl::Status MaySend() const;

  const config::v1::DunlinConfig& config_;
  config::v1::ServerConfig server_config_;  // with the port that was taken
  FileSystem& files_;
  const Clock& clock_;
  const std::function<void()> on_failure_;
  const std::unique_ptr<store::ControlPage> page_;
  const std::shared_ptr<Counter> counter_ = std::make_shared<Counter>();
  const std::shared_ptr<RoleMetrics> registration_metrics_ = std::make_shared<RoleMetrics>();
  const std::shared_ptr<BrokerMetrics> broker_metrics_;
  uint16_t port_ = 0;

  // Of the thread.
  store::Wanted carried_out_;
  store::BrokerState state_ = store::BrokerState::kStopped;
  Timestamp open_at_;  // not before, after a failure
  int failures_ = 0;   // of the wanted role, one after the other
  Timestamp beat_at_;
  std::unique_ptr<Registrar> registrar_;  // of the slave that was, until there is a master
  std::unique_ptr<Broker> broker_;
  std::optional<store::MemberStanding> registered_;  // as this, the slave is
  // For calls that this member is not the master for; null: there are no name services.
  std::unique_ptr<OtherBrokers> others_;
  std::unique_ptr<NotMasterService> not_master_;  // while there is no master
  std::unique_ptr<GrpcServer> server_;
  bool failed_ = false;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
