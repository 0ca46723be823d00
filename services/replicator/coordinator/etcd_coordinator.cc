#include "services/replicator/coordinator/etcd_coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/check.h"
#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/replicator/coordinator/group_json.h"

namespace dunlin::replicator {

namespace etcd = etcdserverpb;

EtcdCoordinator::EtcdCoordinator(Options options, InstantSource now)
    : options_(std::move(options)),
      now_(std::move(now)),
      directory_(fmt::format("{}/{}/", options_.prefix, options_.group)),
      record_key_(directory_ + "record"),
      lease_key_(directory_ + "lease"),
      loop_("coordinator"),
      client_(loop_, options_.endpoints, options_.credentials, options_.login,
              options_.call_timeout) {
  CHECK(!options_.group.empty() && options_.group.find('/') == std::string::npos);
}

EtcdCoordinator::~EtcdCoordinator() { Stop(); }

void EtcdCoordinator::Stop() {
  loop_.Stop([this] { client_.CancelAll(); });
}

void EtcdCoordinator::Start(Watcher watcher) {
  loop_.Post([this, watcher = std::move(watcher)]() mutable {
    watcher_ = std::move(watcher);
    Read();
    loop_.After(options_.refresh, [this] { Refresh(); });
  });
}

// ---- what is stored ----

etcd::RangeRequest EtcdCoordinator::RangeOfGroup() const {
  etcd::RangeRequest request;
  request.set_key(directory_);
  std::string end = directory_;
  ++end.back();
  request.set_range_end(end);
  return request;
}

EtcdCoordinator::Stored EtcdCoordinator::StoredOf(const etcd::RangeResponse& response) const {
  Stored stored{.revision = response.header().revision(), .record = {}, .lease = {}};
  for (const mvccpb::KeyValue& kv : response.kvs()) {
    if (kv.key() == record_key_) stored.record = kv;
    if (kv.key() == lease_key_) stored.lease = kv;
  }
  return stored;
}

void EtcdCoordinator::Adopt(Stored stored) {
  if (stored.revision < stored_.revision) return;
  stored_ = std::move(stored);
  std::optional<GroupView> view = View();
  if (!view.has_value() || watcher_ == nullptr) return;
  std::optional<GroupView> same = told_;
  if (same.has_value()) same->revision = view->revision;
  if (same == view) return;
  told_ = view;
  watcher_(*view);
}

// None when it cannot be read: then this member does nothing but say so.
std::optional<GroupView> EtcdCoordinator::View() const {
  if (stored_.revision == 0) return std::nullopt;
  GroupView view{.revision = stored_.revision, .version = 0, .record = {}, .lease = {}};
  if (stored_.record.has_value()) {
    auto record = GroupRecordFromJson(stored_.record->value());
    if (!record.ok()) {
      log::Error("{}: {}", record_key_, FromAbsl(record.status().message()));
      return std::nullopt;
    }
    view.version = stored_.record->mod_revision();
    view.record = *std::move(record);
  }
  if (stored_.lease.has_value()) {
    auto lease = LeaseHolderFromJson(stored_.lease->value());
    if (!lease.ok()) {
      log::Error("{}: {}", lease_key_, FromAbsl(lease.status().message()));
      return std::nullopt;
    }
    view.lease = *std::move(lease);
  }
  return view;
}

bool EtcdCoordinator::LeaseIsOurs() const {
  const std::optional<GroupView> view = View();
  return view.has_value() && view->lease.has_value() && view->lease->name == options_.member;
}

// ---- watching ----

void EtcdCoordinator::Read() {
  reading_ = true;
  client_.Range(RangeOfGroup(),
                [this](const grpc::Status& status, const etcd::RangeResponse& response) {
                  OnRead(status, response);
                });
}

void EtcdCoordinator::OnRead(const grpc::Status& status, const etcd::RangeResponse& response) {
  if (loop_.stopping()) return;
  if (!status.ok()) {
    if (std::exchange(reachable_, false)) {
      log::Warning("etcd at {} does not answer ({}); the next endpoint is tried",
                   client_.endpoint(), status.error_message());
    }
    client_.NextEndpoint();
    loop_.After(options_.retry, [this] { Read(); });
    return;
  }
  if (!std::exchange(reachable_, true)) log::Info("etcd at {} answers", client_.endpoint());
  reading_ = false;
  // Reads are linearizable: this cannot happen to an etcd that keeps its promises. What it says is
  // not believed (Adopt), so that nobody is elected by a record of the past unseen.
  if (response.header().revision() < stored_.revision) {
    log::Error(
        "etcd at {} is at revision {} after it was at {}: its data was lost or set back. "
        "Nothing it says is believed; restart this member to accept it",
        client_.endpoint(), response.header().revision(), stored_.revision);
  }
  Adopt(StoredOf(response));
  StartWatch();
}

void EtcdCoordinator::StartWatch() {
  etcd::WatchCreateRequest request;
  const etcd::RangeRequest range = RangeOfGroup();
  request.set_key(range.key());
  request.set_range_end(range.range_end());
  request.set_start_revision(stored_.revision + 1);
  watch_ = client_.Watch(
      request, [this](const etcd::WatchResponse& response) { OnWatched(response); },
      [this](const grpc::Status& status) {
        watch_ = nullptr;
        if (!loop_.stopping()) RestartWatch(status.error_message());
      });
}

void EtcdCoordinator::OnWatched(const etcd::WatchResponse& response) {
  if (response.canceled()) {
    // Compacted: what was missed is in the next read.
    RestartWatch(response.compact_revision() > 0
                     ? fmt::format("compacted up to {}", response.compact_revision())
                     : response.cancel_reason());
    return;
  }
  Stored stored = stored_;
  for (const mvccpb::Event& event : response.events()) {
    const mvccpb::KeyValue& kv = event.kv();
    if (kv.mod_revision() <= stored_.revision) continue;  // known from an answer
    auto* place = kv.key() == record_key_  ? &stored.record
                  : kv.key() == lease_key_ ? &stored.lease
                                           : nullptr;
    if (place == nullptr) continue;
    *place = event.type() == mvccpb::Event::PUT ? std::optional(kv) : std::nullopt;
    stored.revision = std::max(stored.revision, kv.mod_revision());
  }
  Adopt(std::move(stored));
}

void EtcdCoordinator::RestartWatch(const std::string& why) {
  if (watch_ != nullptr) std::exchange(watch_, nullptr)->Cancel();
  if (std::exchange(reading_, true)) return;
  log::Debug("the watch of etcd at {} ended: {}", client_.endpoint(), why);
  loop_.After(options_.retry, [this] { Read(); });
}

void EtcdCoordinator::Refresh() {
  loop_.After(options_.refresh, [this] { Refresh(); });
  if (reading_) return;
  client_.Range(RangeOfGroup(),
                [this](const grpc::Status& status, const etcd::RangeResponse& response) {
                  if (loop_.stopping() || reading_) return;
                  if (status.ok()) return Adopt(StoredOf(response));
                  client_.NextEndpoint();
                  RestartWatch(status.error_message());
                });
}

// ---- changes ----

EtcdCoordinator::Result EtcdCoordinator::Unknown(const grpc::Status& status, Instant sent) {
  client_.NextEndpoint();
  return {.status = absl::UnavailableError(fmt::format("etcd: {}", status.error_message())),
          .view = View(),
          .sent = sent};
}

void EtcdCoordinator::Refuse(const std::string& why, Done done) {
  done({.status = absl::AbortedError(why), .view = View(), .sent = now_()});
}

void EtcdCoordinator::CompareRecord(int64_t version, etcd::TxnRequest& txn) const {
  etcd::Compare* compare = txn.add_compare();
  compare->set_key(record_key_);
  compare->set_target(etcd::Compare::MOD);
  compare->set_mod_revision(version);
}

void EtcdCoordinator::CompareLease(int64_t create_revision, etcd::TxnRequest& txn) const {
  etcd::Compare* compare = txn.add_compare();
  compare->set_key(lease_key_);
  compare->set_target(etcd::Compare::CREATE);
  compare->set_create_revision(create_revision);
}

void EtcdCoordinator::PutRecord(const GroupRecord& record, etcd::TxnRequest& txn) const {
  etcd::PutRequest* put = txn.add_success()->mutable_request_put();
  put->set_key(record_key_);
  put->set_value(ToJson(record));
  *txn.add_failure()->mutable_request_range() = RangeOfGroup();
}

EtcdCoordinator::Stored EtcdCoordinator::AfterTxn(int64_t revision,
                                                  const GroupRecord& record) const {
  Stored stored = stored_;
  stored.revision = revision;
  stored.record.emplace();
  stored.record->set_key(record_key_);
  stored.record->set_value(ToJson(record));
  stored.record->set_mod_revision(revision);
  return stored;
}

// The comparisons failed: the answer says how it is instead.
void EtcdCoordinator::FinishTxn(const etcd::TxnResponse& response, Result result, Done done) {
  if (!response.succeeded()) {
    result.status = absl::AbortedError("the record or the lease is not what it was");
    if (response.responses_size() == 1) {
      Adopt(StoredOf([&] {
        etcd::RangeResponse range = response.responses(0).response_range();
        range.mutable_header()->set_revision(response.header().revision());
        return range;
      }()));
    }
  }
  result.view = View();
  done(std::move(result));
}

void EtcdCoordinator::Elect(int64_t version, const GroupRecord& record, Done done) {
  loop_.Post([this, version, record, done = std::move(done)]() mutable {
    const Instant sent = now_();
    client_.LeaseGrant(options_.ttl.count(), [this, version, record, sent, done = std::move(done)](
                                                 const grpc::Status& status,
                                                 const etcd::LeaseGrantResponse& granted) mutable {
      if (!status.ok()) return done(Unknown(status, sent));
      TakeLease(version, record, {granted.id(), sent, std::chrono::seconds(granted.ttl())},
                std::move(done));
    });
  });
}

void EtcdCoordinator::TakeLease(int64_t version, const GroupRecord& record, const Lease& lease,
                                Done done) {
  etcd::TxnRequest txn;
  CompareRecord(version, txn);
  CompareLease(0, txn);  // there is none
  PutRecord(record, txn);
  etcd::PutRequest* put = txn.add_success()->mutable_request_put();
  put->set_key(lease_key_);
  put->set_value(ToJson(LeaseHolder{options_.member, record.epoch}));
  put->set_lease(lease.id);
  client_.Txn(txn, [this, record, lease, key = *put, done = std::move(done)](
                       const grpc::Status& status, const etcd::TxnResponse& response) mutable {
    if (!status.ok() || !response.succeeded()) {
      // Also when the outcome is unknown: what may have been won goes back at once.
      client_.LeaseRevoke(lease.id, [](const grpc::Status&, const etcd::LeaseRevokeResponse&) {});
    }
    if (!status.ok()) return done(Unknown(status, lease.sent));
    if (response.succeeded()) {
      const int64_t revision = response.header().revision();
      lease_id_ = lease.id;
      Stored stored = AfterTxn(revision, record);
      stored.lease.emplace();
      stored.lease->set_key(key.key());
      stored.lease->set_value(key.value());
      stored.lease->set_lease(lease.id);
      stored.lease->set_create_revision(revision);
      stored.lease->set_mod_revision(revision);
      Adopt(std::move(stored));
    }
    FinishTxn(response,
              {.status = absl::OkStatus(), .view = {}, .sent = lease.sent, .ttl = lease.ttl},
              std::move(done));
  });
}

void EtcdCoordinator::Update(int64_t version, const GroupRecord& record, Done done) {
  loop_.Post([this, version, record, done = std::move(done)]() mutable {
    if (lease_id_ == 0 || !LeaseIsOurs()) return Refuse("the lease is not ours", std::move(done));
    const Instant sent = now_();
    etcd::TxnRequest txn;
    CompareRecord(version, txn);
    CompareLease(stored_.lease->create_revision(), txn);
    PutRecord(record, txn);
    client_.Txn(txn, [this, record, sent, done = std::move(done)](
                         const grpc::Status& status, const etcd::TxnResponse& response) mutable {
      if (!status.ok()) return done(Unknown(status, sent));
      if (response.succeeded()) Adopt(AfterTxn(response.header().revision(), record));
      FinishTxn(response, {.status = absl::OkStatus(), .view = {}, .sent = sent}, std::move(done));
    });
  });
}

void EtcdCoordinator::KeepAlive(Done done) {
  loop_.Post([this, done = std::move(done)]() mutable {
    const int64_t id = lease_id_;
    if (id == 0) return Refuse("there is no lease to renew", std::move(done));
    const Instant sent = now_();
    client_.LeaseKeepAlive(
        id, [this, id, sent, done = std::move(done)](
                const grpc::Status& status, const etcd::LeaseKeepAliveResponse& response) mutable {
          if (!status.ok()) return done(Unknown(status, sent));
          if (response.ttl() <= 0) {
            if (lease_id_ == id) lease_id_ = 0;
            return Refuse("etcd has let the lease go", std::move(done));
          }
          done({.status = absl::OkStatus(),
                .view = View(),
                .sent = sent,
                .ttl = std::chrono::seconds(response.ttl())});
        });
  });
}

void EtcdCoordinator::Release(int64_t version, const GroupRecord& record, Done done) {
  loop_.Post([this, version, record, done = std::move(done)]() mutable {
    lease_id_ = 0;
    if (!LeaseIsOurs()) return Refuse("the lease is not ours", std::move(done));
    const Instant sent = now_();
    const int64_t id = stored_.lease->lease();
    etcd::TxnRequest txn;
    CompareRecord(version, txn);
    CompareLease(stored_.lease->create_revision(), txn);
    PutRecord(record, txn);
    txn.add_success()->mutable_request_delete_range()->set_key(lease_key_);
    client_.Txn(txn, [this, record, sent, id, done = std::move(done)](
                         const grpc::Status& status, const etcd::TxnResponse& response) mutable {
      if (!status.ok()) return done(Unknown(status, sent));
      if (response.succeeded()) {
        Stored stored = AfterTxn(response.header().revision(), record);
        stored.lease.reset();
        Adopt(std::move(stored));
        client_.LeaseRevoke(id, [](const grpc::Status&, const etcd::LeaseRevokeResponse&) {});
      }
      FinishTxn(response, {.status = absl::OkStatus(), .view = {}, .sent = sent}, std::move(done));
    });
  });
}

}  // namespace dunlin::replicator
