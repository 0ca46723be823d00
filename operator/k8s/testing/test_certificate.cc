#include "operator/k8s/testing/test_certificate.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <fstream>
#include <utility>

#include "services/base/check.h"

namespace dunlin::k8s {
namespace {

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
template <typename Type>
using Owned = std::unique_ptr<Type, Free>;

void Extend(X509* certificate, X509* issuer, int what, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, what, value));
  CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1, value);
}

// Signed by `issuer` with `issuer_key`, or by itself where they are null.
Owned<X509> Make(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  constexpr long kDay = 24 * 60 * 60;
  Owned<X509> certificate(X509_new());
  X509* const made = certificate.get();
  X509_set_version(made, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made), issuer == nullptr ? 1 : 2);
  X509_gmtime_adj(X509_getm_notBefore(made), -kDay);
  X509_gmtime_adj(X509_getm_notAfter(made), kDay);
  X509_set_pubkey(made, key);
  X509_NAME* const subject = X509_get_subject_name(made);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(made, issuer == nullptr ? subject : X509_get_subject_name(issuer));
  if (issuer == nullptr) {
    Extend(made, made, NID_basic_constraints, "critical,CA:TRUE");
    Extend(made, made, NID_key_usage, "critical,keyCertSign");
  } else {
    Extend(made, issuer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  }
  CHECK(X509_sign(made, issuer_key == nullptr ? key : issuer_key, EVP_sha256()) > 0);
  return certificate;
}

std::string TextOf(BIO* bio) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  return {text, static_cast<size_t>(size)};
}

TestCertificate Write(const std::string& base, X509* certificate, EVP_PKEY* key) {
  TestCertificate written{.certificate_path = base + ".crt",
                          .key_path = base + ".key",
                          .certificate_pem = "",
                          .key_pem = ""};
  const Owned<BIO> certificate_bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(certificate_bio.get(), certificate) == 1);
  written.certificate_pem = TextOf(certificate_bio.get());
  const Owned<BIO> key_bio(BIO_new(BIO_s_mem()));
  // "EC PRIVATE KEY": the form that API servers read.
  CHECK(PEM_write_bio_PrivateKey_traditional(key_bio.get(), key, nullptr, nullptr, 0, nullptr,
                                             nullptr) == 1);
  written.key_pem = TextOf(key_bio.get());
  std::ofstream(written.certificate_path) << written.certificate_pem;
  std::ofstream(written.key_path) << written.key_pem;
  return written;
}

}  // namespace

struct TestAuthority::Secret {
  Owned<EVP_PKEY> key;
  Owned<X509> certificate;
};

TestAuthority::TestAuthority(const std::string& directory)
    : directory_(directory), secret_(std::make_unique<Secret>()) {
  secret_->key.reset(EVP_EC_gen("P-256"));
  secret_->certificate = Make("test authority", secret_->key.get(), nullptr, nullptr);
  own_ = Write(directory_ + "/authority", secret_->certificate.get(), secret_->key.get());
}

TestAuthority::~TestAuthority() = default;

TestCertificate TestAuthority::Sign(const std::string& name) const {
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const Owned<X509> certificate =
      Make(name, key.get(), secret_->certificate.get(), secret_->key.get());
  return Write(directory_ + "/" + name, certificate.get(), key.get());
}

}  // namespace dunlin::k8s
