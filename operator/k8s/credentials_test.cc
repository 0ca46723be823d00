#include "operator/k8s/credentials.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::k8s {
namespace {

using ::testing::HasSubstr;

class CredentialsTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_.path() + "/" + name) << text;
  }
  PodEnvironment Pod() const {
    return {.directory = directory_.path(), .host = "10.0.0.1", .port = "443"};
  }

  TempDir directory_;
  ManualClock clock_;
};

TEST_F(CredentialsTest, InAPod) {
  Write("token", "abc\n");
  Write("ca.crt", "PEM");
  Write("namespace", "queues");
  const auto server = InClusterServer(Pod(), clock_);
  ASSERT_OK(server);
  EXPECT_EQ(server->url, "https://10.0.0.1:443");
  EXPECT_EQ(server->ca_pem, "PEM");
  EXPECT_EQ(server->default_namespace, "queues");
  EXPECT_THAT(server->token->Token(), IsOkAndHolds("abc"));
}

TEST_F(CredentialsTest, Ipv6HostsHaveBrackets) {
  Write("token", "abc");
  Write("ca.crt", "PEM");
  PodEnvironment pod = Pod();
  pod.host = "fd00::1";
  const auto server = InClusterServer(pod, clock_);
  ASSERT_OK(server);
  EXPECT_EQ(server->url, "https://[fd00::1]:443");
  EXPECT_EQ(server->default_namespace, "default");
}

TEST_F(CredentialsTest, WhatIsMissingIsNamed) {
  EXPECT_THAT(InClusterServer({.directory = "", .host = "", .port = ""}, clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("give a kubeconfig")));
  EXPECT_THAT(InClusterServer(Pod(), clock_), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                       HasSubstr("automountServiceAccountToken")));
  Write("token", "abc");
  EXPECT_THAT(InClusterServer(Pod(), clock_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("ca.crt")));
}

TEST_F(CredentialsTest, TokenIsReadAgainAfterAMinuteOrARefusal) {
  Write("token", "first");
  FileToken token(directory_.path() + "/token", clock_);
  EXPECT_THAT(token.Token(), IsOkAndHolds("first"));
  Write("token", "second");
  clock_.Advance(std::chrono::seconds(59));
  EXPECT_THAT(token.Token(), IsOkAndHolds("first"));
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_THAT(token.Token(), IsOkAndHolds("second"));
  Write("token", "third");
  EXPECT_THAT(token.Token(), IsOkAndHolds("second"));
  token.Refused();
  EXPECT_THAT(token.Token(), IsOkAndHolds("third"));
}

TEST_F(CredentialsTest, TokenIsReadThroughLinksThatAreSwapped) {
  Write("one", "first");
  Write("two", "second");
  std::filesystem::create_symlink("one", directory_.path() + "/token");
  FileToken token(directory_.path() + "/token", clock_);
  EXPECT_THAT(token.Token(), IsOkAndHolds("first"));
  std::filesystem::create_symlink("two", directory_.path() + "/next");
  std::filesystem::rename(directory_.path() + "/next", directory_.path() + "/token");
  token.Refused();
  EXPECT_THAT(token.Token(), IsOkAndHolds("second"));
}

TEST_F(CredentialsTest, TheLastTokenIsKeptWhenItsFileIsGoneOrEmpty) {
  Write("token", "first");
  FileToken token(directory_.path() + "/token", clock_);
  EXPECT_THAT(token.Token(), IsOkAndHolds("first"));
  Write("token", "");
  token.Refused();
  EXPECT_THAT(token.Token(), IsOkAndHolds("first"));
  std::filesystem::remove(directory_.path() + "/token");
  token.Refused();
  EXPECT_THAT(token.Token(), IsOkAndHolds("first"));
}

}  // namespace
}  // namespace dunlin::k8s
