#include "services/replicator/coordinator/etcd_access.h"

#include <fmt/format.h>

#include <utility>

#include "services/base/status_macros.h"

namespace dunlin::replicator {
namespace {

constexpr char kLineEnd[] = "\r\n";

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
absl::StatusOr<std::string> ReadPem(const std::string& path, const char* setting,
                                    FileSystem& files) {
  ASSIGN_OR_RETURN(std::string pem, ReadWholeFile(files, path));
  if (pem.find("-----BEGIN ") == std::string::npos) {
    return absl::InvalidArgumentError(fmt::format("{} ({}) is no PEM file", path, setting));
  }
  return pem;
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
  grpc::SslCredentialsOptions tls;
  ASSIGN_OR_RETURN(tls.pem_root_certs, ReadPem(paths.ca, "replication.etcd_ca_file", files));
  if (!paths.certificate.empty()) {
    ASSIGN_OR_RETURN(tls.pem_cert_chain,
                     ReadPem(paths.certificate, "replication.etcd_certificate_file", files));
    ASSIGN_OR_RETURN(tls.pem_private_key,
                     ReadPem(paths.private_key, "replication.etcd_private_key_file", files));
  }
  return grpc::SslCredentials(tls);
}

}  // namespace

absl::StatusOr<EtcdAccess> ReadEtcdAccess(const EtcdAccessFiles& paths, FileSystem& files) {
  EtcdAccess access;
  ASSIGN_OR_RETURN(access.login, ReadLogin(paths, files));
  ASSIGN_OR_RETURN(access.credentials, ReadCredentials(paths, files));
  return access;
}

}  // namespace dunlin::replicator
