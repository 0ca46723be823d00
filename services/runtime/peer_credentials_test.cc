#include "services/runtime/peer_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/certificate.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/testing/echo.h"

// See peer_credentials.cc. The name is what the sanitizer looks for.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" const char* __lsan_default_suppressions() {
  return "leak:grpc_tls_credentials_options_create";
}

namespace dunlin {
namespace {

using config::v1::PeerTlsConfig;
using config::v1::ServerConfig;
using config::v1::TlsConfig;
using ::testing::HasSubstr;

class PeerCredentialsTest : public ::testing::Test {
 protected:
  PeerCredentialsTest() {
    server_config_.set_listen_address("127.0.0.1:0");
    server_config_.mutable_tls()->set_mode(TlsConfig::REQUIRED);
    auto server =
        GrpcServer::Start(server_config_, dir_.path(), {.services = {}, .generic = &echo_});
    EXPECT_OK(server);
    server_ = *std::move(server);
  }

  bool Reaches(const PeerTlsConfig& config) {
    const auto credentials = PeerCredentials(config, RealFiles());
    EXPECT_OK(credentials);
    if (!credentials.ok()) return false;
    const std::string address = "127.0.0.1:" + std::to_string(server_->port());
    return Echo(OwnChannel(address, *credentials), "hello").body == "hello";
  }
  PeerTlsConfig Verified(const std::string& ca_file) {
    PeerTlsConfig config;
    config.set_mode(PeerTlsConfig::VERIFIED);
    config.set_ca_file(ca_file);
    return config;
  }

  TempDir dir_;
  TempDir other_;
  EchoService echo_;
  ServerConfig server_config_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(PeerCredentialsTest, PlaintextUnlessItIsAskedFor) { EXPECT_FALSE(Reaches(PeerTlsConfig())); }

TEST_F(PeerCredentialsTest, EncryptedAsksNobodyWhoTheyAre) {
  PeerTlsConfig config;
  config.set_mode(PeerTlsConfig::ENCRYPTED);
  EXPECT_TRUE(Reaches(config));
}

TEST_F(PeerCredentialsTest, VerifiedTalksToThoseWhoAreSigned) {
  EXPECT_TRUE(Reaches(Verified(dir_.path() + "/tls/server.crt")));
  const auto stranger = SelfSignedCertificate(other_.path());
  ASSERT_OK(stranger);
  EXPECT_FALSE(Reaches(Verified(SelfSignedFiles(other_.path()).certificate)));
}

TEST_F(PeerCredentialsTest, AFileThatCannotBeUsedIsAnError) {
  EXPECT_THAT(PeerCredentials(Verified(""), RealFiles()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("peer_tls.ca_file")));
  EXPECT_THAT(PeerCredentials(Verified(dir_.path() + "/none"), RealFiles()),
              StatusIs(absl::StatusCode::kNotFound));
  std::ofstream(dir_.path() + "/text") << "no certificate";
  EXPECT_THAT(PeerCredentials(Verified(dir_.path() + "/text"), RealFiles()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no certificate in PEM")));
}

}  // namespace
}  // namespace dunlin
