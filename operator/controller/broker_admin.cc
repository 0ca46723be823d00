#include "operator/controller/broker_admin.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include "services/base/status_macros.h"

namespace dunlin::op {
namespace {

// Masters there are at a time, and more; beyond, those of former pods are dropped with the others.
constexpr size_t kStubsMax = 256;
// The progress of a group in very many queues.
constexpr int kAnswerBytesMax = 64 << 20;
constexpr int kReconnectMs = 5'000;

std::shared_ptr<grpc::ChannelCredentials> CredentialsFor(bool tls) {
  if (!tls) return grpc::InsecureChannelCredentials();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace

absl::Status BrokerAdmin::CheckIdentity(const BrokerAt& at) {
  ASSIGN_OR_RETURN(const admin::v1::Broker broker,
                   Ask(at, &Stub::GetBroker, admin::v1::GetBrokerRequest()));
  if (broker.cluster() == at.cluster && broker.name() == at.group) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("who answers at {} is of broker group {} of cluster {}, not of {} of {}",
                  at.address, broker.name(), broker.cluster(), at.group, at.cluster));
}

std::shared_ptr<BrokerAdmin::Stub> BrokerAdmin::StubOf(const BrokerAt& at) {
  MutexLock lock(mutex_);
  const std::pair key(at.address, at.tls);
  if (const auto found = stubs_.find(key); found != stubs_.end()) return found->second;
  if (stubs_.size() >= kStubsMax) stubs_.clear();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kAnswerBytesMax);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMs);
  std::shared_ptr<Stub> stub = admin::v1::AdminService::NewStub(
      grpc::CreateCustomChannel(at.address, CredentialsFor(at.tls), arguments));
  stubs_[key] = stub;
  return stub;
}

}  // namespace dunlin::op
