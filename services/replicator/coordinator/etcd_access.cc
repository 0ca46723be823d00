#include "services/replicator/coordinator/etcd_access.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>

#include "services/base/status_macros.h"

namespace dunlin::replicator {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::TlsChannelCredentialsOptions;

constexpr char kLineEnd[] = "\r\n";
// How often the files are looked at, in seconds.
constexpr unsigned kLookSeconds = 5;

absl::StatusOr<EtcdLogin> ReadLogin(const EtcdAccessFiles& paths, FileSystem& files) {
  if (paths.user.empty() != paths.password.empty()) {
    return absl::InvalidArgumentError(
        "replication.etcd_user and replication.etcd_password_file: set both, or none");
  }
  if (paths.user.empty()) return EtcdLogin();
  ASSIGN_OR_RETURN(std::string password, ReadWholeFile(files, paths.password));
  password.erase(password.find_last_not_of(kLineEnd) + 1);
  if (password.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("{} (replication.etcd_password_file) holds no password", paths.password));
  }
  return EtcdLogin{.user = paths.user, .password = std::move(password)};
}

// gRPC says nothing of a file without a certificate, and then trusts nobody.
absl::Status CheckPem(const std::string& path, const char* setting, FileSystem& files) {
  ASSIGN_OR_RETURN(const std::string pem, ReadWholeFile(files, path));
  if (pem.find("-----BEGIN ") == std::string::npos) {
    return absl::InvalidArgumentError(fmt::format("{} ({}) is no PEM file", path, setting));
  }
  return absl::OkStatus();
}

std::shared_ptr<grpc::ChannelCredentials> TlsCredentials(const EtcdAccessFiles& paths) {
  TlsChannelCredentialsOptions options;
  if (paths.certificate.empty()) {
    options.set_certificate_provider(
        std::make_shared<FileWatcherCertificateProvider>(paths.ca, kLookSeconds));
  } else {
    options.set_certificate_provider(std::make_shared<FileWatcherCertificateProvider>(
        paths.private_key, paths.certificate, paths.ca, kLookSeconds));
    options.watch_identity_key_cert_pairs();
  }
  options.watch_root_certs();
  return grpc::experimental::TlsCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ReadCredentials(
    const EtcdAccessFiles& paths, FileSystem& files) {
  if (paths.certificate.empty() != paths.private_key.empty()) {
    return absl::InvalidArgumentError(
        "replication.etcd_certificate_file and replication.etcd_private_key_file: set both, or "
        "none");
  }
  if (paths.ca.empty()) {
    if (!paths.certificate.empty()) {
      return absl::InvalidArgumentError(
          "replication.etcd_certificate_file needs replication.etcd_ca_file: without it the "
          "members talk plaintext to etcd");
    }
    return grpc::InsecureChannelCredentials();
  }
  RETURN_IF_ERROR(CheckPem(paths.ca, "replication.etcd_ca_file", files));
  if (!paths.certificate.empty()) {
    RETURN_IF_ERROR(CheckPem(paths.certificate, "replication.etcd_certificate_file", files));
    RETURN_IF_ERROR(CheckPem(paths.private_key, "replication.etcd_private_key_file", files));
  }
  return TlsCredentials(paths);
}

}  // namespace

absl::StatusOr<EtcdAccess> ReadEtcdAccess(const EtcdAccessFiles& paths, FileSystem& files) {
  EtcdAccess access;
  ASSIGN_OR_RETURN(access.login, ReadLogin(paths, files));
  ASSIGN_OR_RETURN(access.credentials, ReadCredentials(paths, files));
  return access;
}

}  // namespace dunlin::replicator
