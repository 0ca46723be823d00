#include "services/runtime/grpc_server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/certificate.h"
#include "services/runtime/testing/echo.h"
#include "services/runtime/testing/raw_client.h"

namespace dunlin {
namespace {

using config::v1::ServerConfig;
using config::v1::TlsConfig;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kServing[] = "\x08\x01";
constexpr char kNotServing[] = "\x08\x02";

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class GrpcServerTest : public ::testing::Test {
 protected:
  GrpcServerTest() { config_.set_listen_address("127.0.0.1:0"); }

  // gRPC lets a service be of one server only.
  absl::StatusOr<std::unique_ptr<GrpcServer>> TryStart() {
    return GrpcServer::Start(config_, dir_.path(),
                             {.services = {}, .generic = &echoes_.emplace_back()});
  }
  void Start() {
    absl::StatusOr<std::unique_ptr<GrpcServer>> server = TryStart();
    ASSERT_OK(server);
    server_ = *std::move(server);
  }

  std::string Address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  std::shared_ptr<grpc::Channel> Plaintext() const {
    return OwnChannel(Address(), grpc::InsecureChannelCredentials());
  }
  // Trusts `certificate` alone, for the address it connects to.
  std::shared_ptr<grpc::Channel> Tls(const std::string& certificate) const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ReadText(certificate);
    return OwnChannel(Address(), grpc::SslCredentials(options));
  }

  TempDir dir_;
  const std::string self_signed_ = dir_.path() + "/tls/server.crt";
  ServerConfig config_;
  std::deque<EchoService> echoes_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(GrpcServerTest, ServesPlaintextAndTlsOnOnePort) {
  Start();
  EXPECT_NE(server_->port(), 0);
  const Reply plain = Echo(Plaintext(), "hello");
  EXPECT_TRUE(plain.status.ok()) << plain.status.error_message();
  EXPECT_EQ(plain.body, "hello");
  // Verifies the self-signed certificate, including its name.
  const Reply tls = Echo(Tls(self_signed_), "hello");
  EXPECT_TRUE(tls.status.ok()) << tls.status.error_message();
  EXPECT_EQ(tls.body, "hello");
}

TEST_F(GrpcServerTest, KeepsToTheTlsMode) {
  config_.mutable_tls()->set_mode(TlsConfig::REQUIRED);
  Start();
  EXPECT_FALSE(Echo(Plaintext(), "x").status.ok());
  EXPECT_TRUE(Echo(Tls(self_signed_), "x").status.ok());
  server_.reset();

  config_.mutable_tls()->set_mode(TlsConfig::OFF);
  Start();
  EXPECT_TRUE(Echo(Plaintext(), "x").status.ok());
  EXPECT_FALSE(Echo(Tls(self_signed_), "x").status.ok());
}

TEST_F(GrpcServerTest, AnswersHealthChecksAndReflection) {
  Start();
  const auto check = [&] { return Call(Plaintext(), "/grpc.health.v1.Health/Check", "").body; };
  EXPECT_EQ(check(), kNotServing);
  server_->SetServing(true);
  EXPECT_EQ(check(), kServing);
  server_->SetServing(false);
  EXPECT_EQ(check(), kNotServing);
  // A ServerReflectionRequest with list_services set.
  const Reply services =
      Call(Plaintext(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
           std::string("\x3a\x00", 2));
  EXPECT_TRUE(services.status.ok()) << services.status.error_message();
  EXPECT_THAT(services.body, HasSubstr("grpc.health.v1.Health"));
}

TEST_F(GrpcServerTest, ClosesSilentConnections) {
  config_.set_first_byte_timeout_ms(200);
  Start();
  RawClient silent(server_->port());
  ASSERT_TRUE(silent.connected());
  EXPECT_TRUE(silent.ClosedWithin(seconds(5)));
  EXPECT_EQ(server_->connections().silent, 1u);
  EXPECT_TRUE(Echo(Plaintext(), "x").status.ok());
}

TEST_F(GrpcServerTest, SurvivesGarbage) {
  Start();
  const std::string starts[] = {std::string(1, '\0'),
                                "GET / HTTP/1.1\r\n\r\n",
                                "POST / HTTP/1.1\r\n\r\n",
                                "PRI * HTTP/2.0\r\n\r\nXX",
                                std::string("\x16\x03\x01\xff\xff garbage", 13),
                                std::string(100'000, 'P'),
                                std::string(100'000, '\xff')};
  for (const std::string& start : starts) {
    RawClient client(server_->port());
    ASSERT_TRUE(client.connected());
    client.Send(start);
  }
  RawClient foreign(server_->port());
  foreign.Send("\x05");
  EXPECT_TRUE(foreign.ClosedWithin(seconds(5)));
  EXPECT_GE(server_->connections().unknown_protocol, 1u);
  EXPECT_TRUE(Echo(Plaintext(), "x").status.ok());
  EXPECT_TRUE(Echo(Tls(self_signed_), "x").status.ok());
}

TEST_F(GrpcServerTest, LimitsConnectionsPerPeerAndFreesThem) {
  config_.set_max_connections_per_peer(2);
  Start();
  const std::shared_ptr<grpc::Channel> first = Plaintext();
  ASSERT_TRUE(Echo(first, "x").status.ok());
  RawClient second(server_->port());
  ASSERT_TRUE(second.connected());
  RawClient third(server_->port());
  EXPECT_TRUE(third.ClosedWithin(seconds(5)));
  EXPECT_EQ(server_->connections().over_peer_limit, 1u);
  EXPECT_TRUE(Echo(first, "x").status.ok());

  second.Close();
  const auto deadline = std::chrono::steady_clock::now() + seconds(5);
  bool admitted = false;
  while (!admitted && std::chrono::steady_clock::now() < deadline) {
    admitted = Echo(Plaintext(), "x", milliseconds(500)).status.ok();
  }
  EXPECT_TRUE(admitted);
}

TEST_F(GrpcServerTest, TakesLargeRequestsUpToItsLimit) {
  config_.set_max_request_bytes(6 << 20);
  Start();
  const std::shared_ptr<grpc::Channel> channel = Plaintext();
  EXPECT_EQ(Echo(channel, std::string(5 << 20, 'x')).body.size(), 5u << 20);
  EXPECT_EQ(Echo(channel, std::string(7 << 20, 'x')).status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Echo(channel, "x").status.ok());
}

TEST_F(GrpcServerTest, TakesNoMoreThanItsServicesNeed) {
  absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(
      config_, dir_.path(),
      {.services = {}, .generic = &echoes_.emplace_back(), .max_request_bytes = 1 << 20});
  ASSERT_OK(server);
  server_ = *std::move(server);
  EXPECT_EQ(Echo(Plaintext(), std::string(1 << 20, 'x')).body.size(), 1u << 20);
  EXPECT_EQ(Echo(Plaintext(), std::string((1 << 20) + 1, 'x')).status.error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// As the SDKs for C++ and Java do, but more often: gRPC's own servers hang up after some.
TEST_F(GrpcServerTest, TakesNoOffenceAtPingsWithoutCalls) {
  Start();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 100);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  const std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(Address(), grpc::InsecureChannelCredentials(), arguments);
  ASSERT_TRUE(Echo(channel, "x").status.ok());
  EXPECT_FALSE(channel->WaitForStateChange(GRPC_CHANNEL_READY,
                                           std::chrono::system_clock::now() + seconds(6)));
  EXPECT_TRUE(Echo(channel, "x").status.ok());
}

// The bound on gRPC's buffers is 1 MiB here and the calls want 16: some may be dropped, with a
// status that is worth another try, and the server goes on.
TEST_F(GrpcServerTest, OutlivesMoreRequestsThanItMayBuffer) {
  config_.set_max_request_bytes(256 << 10);
  Start();
  const std::string request(200 << 10, 'x');
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      const std::shared_ptr<grpc::Channel> channel = Plaintext();
      for (int call = 0; call < 5; ++call) {
        const Reply reply = Echo(channel, request, seconds(30));
        EXPECT_THAT(reply.status.error_code(),
                    AnyOf(grpc::StatusCode::OK, grpc::StatusCode::UNAVAILABLE,
                          grpc::StatusCode::RESOURCE_EXHAUSTED, grpc::StatusCode::CANCELLED))
            << reply.status.error_message();
        if (reply.status.ok()) EXPECT_EQ(reply.body, request);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(Echo(Plaintext(), request).body, request);
}

TEST_F(GrpcServerTest, PicksUpAChangedCertificate) {
  const absl::StatusOr<CertificateFiles> other = SelfSignedCertificate(dir_.path() + "/other");
  ASSERT_OK(other);
  Start();
  const std::string old_certificate = dir_.path() + "/old.crt";
  std::filesystem::copy_file(self_signed_, old_certificate);
  ASSERT_TRUE(Echo(Tls(old_certificate), "x").status.ok());
  ASSERT_FALSE(Echo(Tls(other->certificate), "x").status.ok());

  std::filesystem::copy_file(other->private_key, dir_.path() + "/tls/server.key",
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::copy_file(other->certificate, self_signed_,
                             std::filesystem::copy_options::overwrite_existing);
  const auto deadline = std::chrono::steady_clock::now() + seconds(20);
  bool changed = false;
  while (!changed && std::chrono::steady_clock::now() < deadline) {
    changed = Echo(Tls(other->certificate), "x", milliseconds(500)).status.ok();
  }
  EXPECT_TRUE(changed);
  EXPECT_FALSE(Echo(Tls(old_certificate), "x", milliseconds(500)).status.ok());
}

TEST_F(GrpcServerTest, ListensOnIpv6) {
  config_.set_listen_address("[::]:0");
  absl::StatusOr<std::unique_ptr<GrpcServer>> server = TryStart();
  if (!server.ok()) GTEST_SKIP() << "no IPv6 here: " << server.status();
  server_ = *std::move(server);
  EXPECT_TRUE(Echo(Plaintext(), "x").status.ok());
  const auto ipv6 =
      OwnChannel("[::1]:" + std::to_string(server_->port()), grpc::InsecureChannelCredentials());
  EXPECT_TRUE(Echo(ipv6, "x").status.ok());
}

TEST_F(GrpcServerTest, RefusesWhatItCannotServe) {
  Start();
  const auto fails = [&] { return TryStart().status(); };
  config_.set_listen_address(Address());
  EXPECT_THAT(fails(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(Address())));
  config_.set_listen_address("no such host.invalid:1");
  EXPECT_FALSE(fails().ok());
  config_.set_listen_address("127.0.0.1:0");
  config_.mutable_tls()->set_certificate_file(dir_.path() + "/missing.crt");
  config_.mutable_tls()->set_private_key_file(dir_.path() + "/missing.key");
  EXPECT_THAT(fails(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("missing.crt")));
}

TEST_F(GrpcServerTest, StopsWithConnectionsOpen) {
  Start();
  const std::shared_ptr<grpc::Channel> channel = Plaintext();
  ASSERT_TRUE(Echo(channel, "x").status.ok());
  RawClient waiting(server_->port());
  const std::string address = Address();
  server_->Stop(milliseconds(500));
  EXPECT_TRUE(waiting.ClosedWithin(seconds(5)));
  EXPECT_FALSE(Echo(channel, "x", milliseconds(500)).status.ok());
  server_.reset();
  config_.set_listen_address(address);
  Start();  // the port is free again at once
  EXPECT_TRUE(Echo(Plaintext(), "x").status.ok());
}

}  // namespace
}  // namespace dunlin
