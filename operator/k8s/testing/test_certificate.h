// TestCertificate: certificates of a test's own authority, as files.

#pragma once

#include <memory>
#include <string>

namespace dunlin::k8s {

struct TestCertificate {
  std::string certificate_path;
  std::string key_path;
  std::string certificate_pem;
  std::string key_pem;
};

// An authority, and what it signs: for localhost and 127.0.0.1, good for a server and for a client.
class TestAuthority {
 public:
  // Files go to `directory`.
  explicit TestAuthority(const std::string& directory);
  ~TestAuthority();

  const TestCertificate& certificate() const { return own_; }
  TestCertificate Sign(const std::string& name) const;

 private:
  struct Secret;  // OpenSSL's

  const std::string directory_;
  std::unique_ptr<Secret> secret_;
  TestCertificate own_;
};

}  // namespace dunlin::k8s
