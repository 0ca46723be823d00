#include "services/runtime/peer_credentials.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <string>

#include "absl/status/status.h"

#include "services/base/status_macros.h"

namespace dunlin {
namespace {

using config::v1::PeerTlsConfig;
using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::NoOpCertificateVerifier;
using grpc::experimental::TlsChannelCredentialsOptions;

// How often the file is looked at, in seconds.
constexpr unsigned kLookSeconds = 5;

// gRPC 1.51 never frees options: they are made once in a program, and only when they are used.
std::shared_ptr<grpc::ChannelCredentials> Encrypted() {
  TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(std::make_shared<NoOpCertificateVerifier>());
  return grpc::experimental::TlsCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> Verified(const std::string& ca_file) {
  TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<FileWatcherCertificateProvider>(ca_file, kLookSeconds));
  options.watch_root_certs();
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> PeerCredentials(
    const PeerTlsConfig& config, FileSystem& files) {
  if (config.mode() == PeerTlsConfig::OFF) return grpc::InsecureChannelCredentials();
  if (config.mode() == PeerTlsConfig::ENCRYPTED) return Encrypted();
  if (config.ca_file().empty()) {
    return absl::InvalidArgumentError(
        "peer_tls.mode is VERIFIED, and peer_tls.ca_file names no certificates to verify others "
        "by: set it, or choose ENCRYPTED");
  }
  ASSIGN_OR_RETURN(const std::string pem, ReadWholeFile(files, config.ca_file()));
  if (pem.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("{} (peer_tls.ca_file) holds no certificate in PEM", config.ca_file()));
  }
  return Verified(config.ca_file());
}

}  // namespace dunlin
