#include "services/runtime/certificate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/runtime/unique_fd.h"

namespace dunlin {
namespace {

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
void FreeBio(BIO* bio) { BIO_free(bio); }
using Bio = std::unique_ptr<BIO, Deleter<BIO, FreeBio>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION, X509_EXTENSION_free>>;

constexpr long kValidSeconds = 10L * 365 * 24 * 60 * 60;  // NOLINT: OpenSSL's type

// What OpenSSL has to say about the last failure.
absl::Status OpensslError(std::string_view what) {
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
  ERR_clear_error();
  return absl::InvalidArgumentError(fmt::format("{}: {}", what, reason.data()));
}

absl::Status FileError(std::string_view what, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, ToAbsl(fmt::format("cannot {} {}", what, path)));
}

bool AddExtension(X509& certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &certificate, &certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension != nullptr && X509_add_ext(&certificate, extension.get(), -1) == 1;
}

// "DNS:name," when the machine has a name that may stand in a certificate.
std::string HostEntry() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "";
  const std::string_view view = name.data();
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
  if (view.empty() || view.find_first_not_of(kAllowed) != std::string_view::npos) return "";
  return fmt::format("DNS:{},", view);
}

bool SetRandomSerial(X509& certificate) {
  uint64_t serial = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) != 1) return false;
  return ASN1_INTEGER_set_uint64(X509_get_serialNumber(&certificate), serial >> 1) == 1;
}

absl::StatusOr<Certificate> MakeCertificate(EVP_PKEY& key) {
  Certificate certificate(X509_new());
  if (certificate == nullptr) return OpensslError("X509_new");
  X509& x509 = *certificate;
  X509_NAME* name = X509_get_subject_name(&x509);
  const auto* common_name = reinterpret_cast<const unsigned char*>("Dunlin self-signed");
  constexpr long kVersion3 = 2;                       // NOLINT: OpenSSL's type
  constexpr long kClockSkewSeconds = -24L * 60 * 60;  // NOLINT
  const bool made =
      X509_set_version(&x509, kVersion3) == 1 && SetRandomSerial(x509) &&
      X509_gmtime_adj(X509_getm_notBefore(&x509), kClockSkewSeconds) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(&x509), kValidSeconds) != nullptr &&
      X509_set_pubkey(&x509, &key) == 1 &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common_name, -1, -1, 0) == 1 &&
      X509_set_issuer_name(&x509, name) == 1 &&
      AddExtension(x509, NID_basic_constraints, "critical,CA:FALSE") &&
      AddExtension(x509, NID_ext_key_usage, "serverAuth") &&
      AddExtension(x509, NID_subject_alt_name,
                   fmt::format("DNS:localhost,{}IP:127.0.0.1,IP:::1", HostEntry())) &&
      X509_sign(&x509, &key, EVP_sha256()) > 0;
  if (!made) return OpensslError("cannot make a certificate");
  return certificate;
}

std::string_view Contents(BIO& bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(&bio, &data);
  return {data, static_cast<size_t>(size)};
}

// Writes beside `path` and renames, so that nobody sees half a file.
absl::Status WriteWhole(const std::string& path, std::string_view text, mode_t mode) {
  const std::string partial = path + ".new";
  unlink(partial.c_str());  // of an earlier crash; O_EXCL reports any other trouble
  const UniqueFd fd(open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd.ok()) return FileError("make", partial);
  while (!text.empty()) {
    const ssize_t written = write(fd.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return FileError("write", partial);
    text.remove_prefix(static_cast<size_t>(written));
  }
  if (fsync(fd.get()) != 0) return FileError("sync", partial);
  if (rename(partial.c_str(), path.c_str()) != 0) return FileError("rename", partial);
  return absl::OkStatus();
}

absl::Status MakePair(const CertificateFiles& files) {
  const Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpensslError("cannot make a key");
  ASSIGN_OR_RETURN(const Certificate certificate, MakeCertificate(*key));
  const Bio key_text(BIO_new(BIO_s_mem()));
  const Bio certificate_text(BIO_new(BIO_s_mem()));
  if (key_text == nullptr || certificate_text == nullptr ||
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1) {
    return OpensslError("cannot write PEM");
  }
  // The certificate last: without it the key of an unfinished attempt is made anew.
  RETURN_IF_ERROR(WriteWhole(files.private_key, Contents(*key_text), 0600));
  return WriteWhole(files.certificate, Contents(*certificate_text), 0644);
}

// Two processes that share a data directory, the broker and the replicator of a member, may start
// at the same moment: one of them makes the pair, the other one waits for it and takes it.
absl::Status MakePairOnce(const CertificateFiles& files, const std::string& directory) {
  const UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return FileError("open", directory);
  while (flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return FileError("lock", directory);
  }
  std::error_code error;
  if (std::filesystem::exists(files.certificate, error)) return absl::OkStatus();
  RETURN_IF_ERROR(MakePair(files));
  if (fsync(fd.get()) != 0) return FileError("sync", directory);
  return absl::OkStatus();
}

absl::StatusOr<Bio> OpenFile(const std::string& path) {
  Bio bio(BIO_new_file(path.c_str(), "r"));
  if (bio == nullptr) return OpensslError(fmt::format("cannot read {}", path));
  return bio;
}

// Never asks the terminal for the password of an encrypted key.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

absl::StatusOr<Certificate> ReadCertificate(const std::string& path) {
  ERR_clear_error();
  ASSIGN_OR_RETURN(const Bio file, OpenFile(path));
  Certificate certificate(PEM_read_bio_X509(file.get(), nullptr, &NoPassword, nullptr));
  if (certificate == nullptr) return OpensslError(fmt::format("{}: not a PEM certificate", path));
  return certificate;
}

}  // namespace

absl::Status CheckCertificate(const CertificateFiles& files) {
  ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(files.certificate));
  ASSIGN_OR_RETURN(const Bio key_file, OpenFile(files.private_key));
  const Key key(PEM_read_bio_PrivateKey(key_file.get(), nullptr, &NoPassword, nullptr));
  if (key == nullptr) {
    return OpensslError(
        fmt::format("{}: not a PEM private key without password", files.private_key));
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return OpensslError(
        fmt::format("{} is not the key of {}", files.private_key, files.certificate));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> CertificateExpiry(const std::string& certificate_file) {
  ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(certificate_file));
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) {
    return OpensslError(fmt::format("{}: when it ends cannot be read", certificate_file));
  }
  return static_cast<int64_t>(timegm(&end));
}

CertificateFiles SelfSignedFiles(const std::string& directory) {
  return {.certificate = directory + "/server.crt", .private_key = directory + "/server.key"};
}

absl::StatusOr<CertificateFiles> SelfSignedCertificate(const std::string& directory) {
  const CertificateFiles files = SelfSignedFiles(directory);
  std::error_code error;
  if (!std::filesystem::exists(files.certificate, error)) {
    std::filesystem::create_directories(directory, error);
    if (error) {
      return absl::ErrnoToStatus(error.value(), ToAbsl(fmt::format("cannot make {}", directory)));
    }
    RETURN_IF_ERROR(MakePairOnce(files, directory));
  }
  RETURN_IF_ERROR(CheckCertificate(files));
  return files;
}

}  // namespace dunlin
