// The server's TLS certificate: finds, checks or makes it.

#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace dunlin {

struct CertificateFiles {
  std::string certificate;  // PEM, the server's own first
  std::string private_key;  // PEM
};

// OK when both files can be read and the key is the certificate's.
absl::Status CheckCertificate(const CertificateFiles& files);

// When the first certificate of the file ends, in seconds since 1970.
absl::StatusOr<int64_t> CertificateExpiry(const std::string& certificate_file);

// The self-signed certificate of `directory`. Made when there is none: EC P-256, for localhost,
// the host's name, 127.0.0.1 and ::1, valid for 10 years, the key readable by its owner only. An
// existing one is checked and never replaced. A crash while making it leaves either nothing that
// is used or the whole pair; of several processes that come at the same time one makes it.
// Its files are those of SelfSignedFiles.
absl::StatusOr<CertificateFiles> SelfSignedCertificate(const std::string& directory);
CertificateFiles SelfSignedFiles(const std::string& directory);

}  // namespace dunlin
