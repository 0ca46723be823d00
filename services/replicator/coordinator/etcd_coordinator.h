// EtcdCoordinator: a Coordinator over etcd's v3 API.
//
// Two keys per group: PREFIX/GROUP/record, and PREFIX/GROUP/lease, which goes with an etcd lease.
// Every change is one transaction that compares the record's mod revision and whose the lease key
// is. Views come from a watch; a read every `refresh` finds what a watch that fell silent missed.
// All of it runs on one thread; endpoints are tried in turn.
//
// etcd itself promises that a lease key lives for the TTL after the last renewal it acknowledged,
// across changes of its leader too; releases that check their leadership before they answer a
// renewal (3.4.24, 3.5.8 and later) keep it also when a leader was suspended for long. Where one
// does not, modes SYNC and QUORUM still lose nothing that was acknowledged: their confirm offset
// needs the members without which nobody else is elected.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/coordinator/etcd_client.h"
#include "services/replicator/coordinator/grpc_loop.h"
#include "services/replicator/coordinator/instant.h"

namespace dunlin::replicator {

class EtcdCoordinator final : public Coordinator {
 public:
  struct Options {
    std::vector<std::string> endpoints;  // host:port; at least one
    std::shared_ptr<grpc::ChannelCredentials> credentials;
    EtcdLogin login;
    std::string prefix = "/dunlin";
    std::string group;  // REQUIRES: no '/'
    MemberName member;
    std::chrono::seconds ttl{5};  // etcd grants no less than about two
    Duration call_timeout = std::chrono::seconds(1);
    Duration retry = std::chrono::milliseconds(200);
    Duration refresh = std::chrono::seconds(2);
  };
  explicit EtcdCoordinator(Options options, InstantSource now = BootClock::now);
  ~EtcdCoordinator() override;

  void Start(Watcher watcher) override;
  void Elect(int64_t version, const GroupRecord& record, Done done) override;
  void Update(int64_t version, const GroupRecord& record, Done done) override;
  void KeepAlive(Done done) override;
  void Release(int64_t version, const GroupRecord& record, Done done) override;
  void Stop() override;

 private:
  // The two keys at one revision.
  struct Stored {
    int64_t revision = 0;
    std::optional<mvccpb::KeyValue> record;
    std::optional<mvccpb::KeyValue> lease;
  };
  struct Lease {
    int64_t id = 0;
    Instant sent;
    Duration ttl{0};
  };

  // All below belongs to the loop's thread.
  void Read();
  void OnRead(const grpc::Status& status, const etcdserverpb::RangeResponse& response);
  void StartWatch();
  void OnWatched(const etcdserverpb::WatchResponse& response);
  void RestartWatch(const std::string& why);
  void Refresh();

  void TakeLease(int64_t version, const GroupRecord& record, const Lease& lease, Done done);
  void FinishTxn(const etcdserverpb::TxnResponse& response, Result result, Done done);
  void Refuse(const std::string& why, Done done);
  Result Unknown(const grpc::Status& status, Instant sent);

  void Adopt(Stored stored);
  std::optional<GroupView> View() const;
  bool LeaseIsOurs() const;
  Stored StoredOf(const etcdserverpb::RangeResponse& response) const;
  // What is stored once a transaction of ours was carried out at `revision`.
  Stored AfterTxn(int64_t revision, const GroupRecord& record) const;
  void CompareRecord(int64_t version, etcdserverpb::TxnRequest& txn) const;
  void CompareLease(int64_t create_revision, etcdserverpb::TxnRequest& txn) const;
  void PutRecord(const GroupRecord& record, etcdserverpb::TxnRequest& txn) const;
  etcdserverpb::RangeRequest RangeOfGroup() const;

  const Options options_;
  const InstantSource now_;
  const std::string directory_;  // PREFIX/GROUP/
  const std::string record_key_;
  const std::string lease_key_;

  GrpcLoop loop_;
  EtcdClient client_;
  Watcher watcher_;
  Stored stored_;
  std::optional<GroupView> told_;  // what the watcher saw last, but for the revision
  int64_t lease_id_ = 0;           // of this life; 0: none
  EtcdClient::WatchStream* watch_ = nullptr;
  bool reading_ = false;   // or waiting to: there is no watch
  bool reachable_ = true;  // so that an outage makes one line
};

}  // namespace dunlin::replicator
