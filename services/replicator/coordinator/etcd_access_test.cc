// A real etcd that asks for users, and one that speaks TLS alone.
#include "services/replicator/coordinator/etcd_access.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"

#include "proto/etcd/v3/rpc.grpc.pb.h"
#include "services/base/mutex.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/replicator/coordinator/etcd_coordinator.h"
#include "services/replicator/coordinator/testing/etcd_server.h"
#include "services/replicator/coordinator/testing/probe.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

bool Await(const std::function<bool()>& condition) {
  Mutex mutex;
  CondVar never;
  MutexLock lock(mutex);
  const auto deadline = steady_clock::now() + seconds(30);
  while (!condition()) {
    if (steady_clock::now() > deadline) return false;
    never.WaitUntil(mutex, steady_clock::now() + milliseconds(5));
  }
  return true;
}

std::unique_ptr<Coordinator> Connect(const std::string& endpoint, const EtcdAccess& access) {
  EtcdCoordinator::Options options;
  options.endpoints = {endpoint};
  options.credentials = access.credentials;
  options.login = access.login;
  options.group = "orders";
  options.member = "a";
  options.ttl = seconds(30);
  return std::make_unique<EtcdCoordinator>(std::move(options));
}

absl::Status ElectA(Probe& probe) {
  Probe::Outcome outcome;
  probe->Elect(0, MakeRecord(1, "a", {"a"}), outcome.Take());
  EXPECT_TRUE(Await([&] { return outcome.result().has_value(); }));
  return outcome.result()->status;
}

absl::Status KeepAlive(Probe& probe) {
  Probe::Outcome outcome;
  probe->KeepAlive(outcome.Take());
  EXPECT_TRUE(Await([&] { return outcome.result().has_value(); }));
  return outcome.result()->status;
}

class EtcdUserTest : public ::testing::Test {
 protected:
  using Auth = etcdserverpb::Auth;

  template <typename Request, typename Response>
  Response Ask(grpc::Status (Auth::Stub::*call)(grpc::ClientContext*, const Request&, Response*),
               const Request& request) {
    const auto stub =
        Auth::NewStub(grpc::CreateChannel(etcd_.endpoint(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    if (!root_.empty()) context.AddMetadata("token", root_);
    Response response;
    const grpc::Status status = (stub.get()->*call)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  void AddUser(const std::string& name, const std::string& password, const std::string& role) {
    etcdserverpb::AuthUserAddRequest user;
    user.set_name(name);
    user.set_password(password);
    Ask(&Auth::Stub::UserAdd, user);
    etcdserverpb::AuthUserGrantRoleRequest grant;
    grant.set_user(name);
    grant.set_role(role);
    Ask(&Auth::Stub::UserGrantRole, grant);
  }

  // User dunlin may do what it likes below /dunlin/, and nobody else anything.
  void SetUp() override {
    etcdserverpb::AuthRoleAddRequest role;
    role.set_name("members");
    Ask(&Auth::Stub::RoleAdd, role);
    etcdserverpb::AuthRoleGrantPermissionRequest permission;
    permission.set_name("members");
    permission.mutable_perm()->set_permtype(etcdserverpb::Permission::READWRITE);
    permission.mutable_perm()->set_key("/dunlin/");
    permission.mutable_perm()->set_range_end("/dunlin0");
    Ask(&Auth::Stub::RoleGrantPermission, permission);
    role.set_name("root");
    Ask(&Auth::Stub::RoleAdd, role);
    AddUser("dunlin", "a password", "members");
    AddUser("root", "of root", "root");
    Ask(&Auth::Stub::AuthEnable, etcdserverpb::AuthEnableRequest());
  }

  EtcdAccess Access(const std::string& user, const std::string& password) {
    const std::string path = directory_.path() + "/password";
    std::ofstream(path) << password << "\n";
    auto access = ReadEtcdAccess({.user = user, .password = path}, RealFiles());
    EXPECT_OK(access);
    return *std::move(access);
  }

  EtcdServer etcd_;
  TempDir directory_;
  std::string root_;  // its token
};

TEST_F(EtcdUserTest, WhoHasThePasswordGetsIn) {
  Probe probe(Connect(etcd_.endpoint(), Access("dunlin", "a password")));
  ASSERT_TRUE(Await([&] { return probe.view().has_value(); }));
  EXPECT_OK(ElectA(probe));
  EXPECT_OK(KeepAlive(probe));
}

TEST_F(EtcdUserTest, NobodyElseDoes) {
  const EtcdAccess nobody{.credentials = grpc::InsecureChannelCredentials(), .login = {}};
  for (const EtcdAccess& access : {nobody, Access("dunlin", "another one")}) {
    Probe probe(Connect(etcd_.endpoint(), access));
    EXPECT_FALSE(ElectA(probe).ok());
    EXPECT_FALSE(probe.view().has_value());
  }
}

// Its tokens are in memory: an etcd that was started anew knows none.
TEST_F(EtcdUserTest, ATokenThatIsNotKnownAnyMoreIsRenewed) {
  Probe probe(Connect(etcd_.endpoint(), Access("dunlin", "a password")));
  ASSERT_TRUE(Await([&] { return probe.view().has_value(); }));
  ASSERT_OK(ElectA(probe));
  etcd_.Kill();
  etcd_.Start();
  EXPECT_TRUE(Await([&] { return KeepAlive(probe).ok(); }));
  // What needs a permission, too.
  GroupRecord record = *probe.view()->record;
  record.in_sync.insert("b");
  EXPECT_TRUE(Await([&] {
    Probe::Outcome updated;
    probe->Update(probe.view()->version, record, updated.Take());
    EXPECT_TRUE(Await([&] { return updated.result().has_value(); }));
    return updated.result()->status.ok();
  }));
}

TEST_F(EtcdUserTest, RightsThatChangeMakeTokensOld) {
  Probe probe(Connect(etcd_.endpoint(), Access("dunlin", "a password")));
  ASSERT_TRUE(Await([&] { return probe.view().has_value(); }));
  ASSERT_OK(ElectA(probe));
  etcdserverpb::AuthenticateRequest root;
  root.set_name("root");
  root.set_password("of root");
  root_ = Ask(&Auth::Stub::Authenticate, root).token();
  AddUser("another", "with a password", "members");
  GroupRecord record = *probe.view()->record;
  record.in_sync.insert("b");
  EXPECT_TRUE(Await([&] {
    Probe::Outcome updated;
    probe->Update(probe.view()->version, record, updated.Take());
    EXPECT_TRUE(Await([&] { return updated.result().has_value(); }));
    return updated.result()->status.ok();
  }));
}

class EtcdTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    MakeCertificate("key", "certificate");
    etcd_ = std::make_unique<EtcdServer>(
        EtcdServer::Tls{Path("certificate"), Path("key"), Path("certificate")});
  }
  // Certificate, authority and client in one.
  void MakeCertificate(const std::string& key, const std::string& certificate) {
    const std::string command = fmt::format(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=dunlin -addext subjectAltName=IP:127.0.0.1 "
        "-addext extendedKeyUsage=serverAuth,clientAuth -keyout {0}/{1} -out {0}/{2} "
        "2>{0}/log",
        directory_.path(), key, certificate);
    ASSERT_EQ(std::system(command.c_str()), 0) << "this test needs the Debian package openssl";
  }
  std::string Path(const std::string& name) const { return directory_.path() + "/" + name; }

  TempDir directory_;
  std::unique_ptr<EtcdServer> etcd_;
};

TEST_F(EtcdTlsTest, WithACertificateOfItsOwnAMemberGetsIn) {
  const auto access = ReadEtcdAccess(
      {.ca = Path("certificate"), .certificate = Path("certificate"), .private_key = Path("key")},
      RealFiles());
  ASSERT_OK(access);
  Probe probe(Connect(etcd_->endpoint(), *access));
  ASSERT_TRUE(Await([&] { return probe.view().has_value(); }));
  EXPECT_OK(ElectA(probe));
  EXPECT_OK(KeepAlive(probe));
}

TEST_F(EtcdTlsTest, WithoutOneItDoesNot) {
  const auto access = ReadEtcdAccess({.ca = Path("certificate")}, RealFiles());
  ASSERT_OK(access);
  Probe probe(Connect(etcd_->endpoint(), *access));
  EXPECT_EQ(ElectA(probe).code(), absl::StatusCode::kUnavailable);
}

// As one that has run out and is renewed: etcd takes the new one alone.
TEST_F(EtcdTlsTest, ACertificateThatIsReplacedIsPickedUp) {
  MakeCertificate("member-key", "member-certificate");
  const auto access = ReadEtcdAccess({.ca = Path("certificate"),
                                      .certificate = Path("member-certificate"),
                                      .private_key = Path("member-key")},
                                     RealFiles());
  ASSERT_OK(access);
  Probe probe(Connect(etcd_->endpoint(), *access));
  EXPECT_EQ(ElectA(probe).code(), absl::StatusCode::kUnavailable);
  std::filesystem::copy_file(Path("key"), Path("new-key"));
  std::filesystem::copy_file(Path("certificate"), Path("new-certificate"));
  std::filesystem::rename(Path("new-key"), Path("member-key"));
  std::filesystem::rename(Path("new-certificate"), Path("member-certificate"));
  ASSERT_TRUE(Await([&] { return probe.view().has_value(); }));
  EXPECT_OK(ElectA(probe));
}

TEST_F(EtcdTlsTest, AnotherAuthorityIsNotTrusted) {
  MakeCertificate("other-key", "other-certificate");
  const auto access = ReadEtcdAccess({.ca = Path("other-certificate"),
                                      .certificate = Path("certificate"),
                                      .private_key = Path("key")},
                                     RealFiles());
  ASSERT_OK(access);
  Probe probe(Connect(etcd_->endpoint(), *access));
  EXPECT_EQ(ElectA(probe).code(), absl::StatusCode::kUnavailable);
}

TEST(EtcdAccess, SaysWhatIsMissing) {
  const TempDir directory;
  const std::string file = directory.path() + "/file";
  std::ofstream(file) << "\n";
  EXPECT_THAT(ReadEtcdAccess({.user = "dunlin"}, RealFiles()).status().message(),
              HasSubstr("etcd_password_file"));
  EXPECT_THAT(ReadEtcdAccess({.user = "dunlin", .password = file}, RealFiles()).status().message(),
              HasSubstr("holds no password"));
  EXPECT_THAT(ReadEtcdAccess({.certificate = file}, RealFiles()).status().message(),
              HasSubstr("etcd_private_key_file"));
  EXPECT_THAT(
      ReadEtcdAccess({.certificate = file, .private_key = file}, RealFiles()).status().message(),
      HasSubstr("needs replication.etcd_ca_file"));
  EXPECT_THAT(ReadEtcdAccess({.ca = file}, RealFiles()).status().message(),
              HasSubstr("is no PEM file"));
}

}  // namespace
}  // namespace dunlin::replicator
