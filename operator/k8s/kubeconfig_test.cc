#include "operator/k8s/kubeconfig.h"

#include <gmock/gmock.h>

#include <fstream>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::k8s {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class KubeconfigTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_.path() + "/" + name) << text;
  }
  absl::StatusOr<ApiServer> Read(const std::string& text, std::string_view context = "") {
    Write("config", text);
    return ReadKubeconfig(directory_.path() + "/config", context, clock_);
  }
  // One cluster and one context, with this user and these lines of the cluster.
  absl::StatusOr<ApiServer> ReadUser(const std::string& user, const std::string& cluster = "") {
    return Read(
        "current-context: here\n"
        "contexts: [{name: here, context: {cluster: c, user: u, namespace: queues}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://api:6443/'" +
        cluster + "}}]\nusers: [{name: u, user: " + user + "}]\n");
  }

  TempDir directory_;
  ManualClock clock_;
};

TEST_F(KubeconfigTest, AsKubectlWritesIt) {
  const auto server = Read(R"(apiVersion: v1
kind: Config
preferences: {}
clusters:
- cluster:
    certificate-authority-data: UEVN
    server: https://10.1.2.3:6443
  name: kind
contexts:
- context:
    cluster: kind
    user: admin
  name: kind-admin
current-context: kind-admin
users:
- name: admin
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
)");
  ASSERT_OK(server);
  EXPECT_EQ(server->url, "https://10.1.2.3:6443");
  EXPECT_EQ(server->ca_pem, "PEM");
  EXPECT_EQ(server->client_certificate_pem, "CERT");
  EXPECT_EQ(server->client_key_pem, "KEY");
  EXPECT_EQ(server->default_namespace, "default");
  EXPECT_EQ(server->token, nullptr);
}

TEST_F(KubeconfigTest, AsJson) {
  const auto server = Read(R"({"current-context": "a", "users": [],
      "contexts": [{"name": "a", "context": {"cluster": "b"}}],
      "clusters": [{"name": "b", "cluster": {"server": "http://127.0.0.1:8080"}}]})");
  ASSERT_OK(server);
  EXPECT_EQ(server->url, "http://127.0.0.1:8080");
}

TEST_F(KubeconfigTest, TokensAndWhereTheyStand) {
  const auto fixed = ReadUser("{token: abc}");
  ASSERT_OK(fixed);
  EXPECT_EQ(fixed->url, "https://api:6443");
  EXPECT_EQ(fixed->default_namespace, "queues");
  EXPECT_THAT(fixed->token->Token(), IsOkAndHolds("abc"));
  // A token of digits alone would be a number if it were not quoted; kubectl quotes it.
  EXPECT_THAT(ReadUser("{token: \"123\"}")->token->Token(), IsOkAndHolds("123"));

  Write("the-token", "from a file");
  const auto file = ReadUser("{token: abc, tokenFile: the-token}");
  ASSERT_OK(file);
  EXPECT_THAT(file->token->Token(), IsOkAndHolds("from a file"));
}

TEST_F(KubeconfigTest, FilesAreRelativeToIt) {
  Write("ca.pem", "AUTHORITY");
  Write("crt.pem", "CERT");
  Write("key.pem", "KEY");
  const auto server = ReadUser("{client-certificate: crt.pem, client-key: key.pem}",
                               ", certificate-authority: ca.pem, tls-server-name: inside, "
                               "insecure-skip-tls-verify: true, proxy-url: 'http://proxy:3128'");
  ASSERT_OK(server);
  EXPECT_EQ(server->ca_pem, "AUTHORITY");
  EXPECT_EQ(server->client_certificate_pem, "CERT");
  EXPECT_EQ(server->client_key_pem, "KEY");
  EXPECT_EQ(server->tls_server_name, "inside");
  EXPECT_TRUE(server->insecure_skip_tls_verify);
  EXPECT_EQ(server->proxy_url, "http://proxy:3128");
}

TEST_F(KubeconfigTest, WhatIsNotSupportedSaysWhatToDo) {
  EXPECT_THAT(ReadUser("{exec: {command: aws, apiVersion: v1}}"),
              StatusIs(Code::kFailedPrecondition, HasSubstr("kubectl create token")));
  EXPECT_THAT(ReadUser("{auth-provider: {name: gcp}}"),
              StatusIs(Code::kFailedPrecondition, HasSubstr("auth-provider")));
  EXPECT_THAT(ReadUser("{username: a, password: b}"),
              StatusIs(Code::kFailedPrecondition, HasSubstr("use a token")));
}

TEST_F(KubeconfigTest, MistakesAreNamed) {
  EXPECT_THAT(ReadUser("{client-certificate-data: Q0VSVA==}"),
              StatusIs(Code::kInvalidArgument, HasSubstr("both client-certificate")));
  EXPECT_THAT(ReadUser("{client-certificate-data: '*', client-key-data: S0VZ}"),
              StatusIs(Code::kInvalidArgument, HasSubstr("not base64")));
  EXPECT_THAT(ReadUser("{client-certificate: absent.pem, client-key: absent.pem}"),
              StatusIs(Code::kNotFound, HasSubstr("absent.pem")));
  EXPECT_THAT(Read("current-context: a\n"),
              StatusIs(Code::kInvalidArgument, HasSubstr("no entry 'a' in contexts")));
  EXPECT_THAT(Read("contexts: []\n"),
              StatusIs(Code::kInvalidArgument, HasSubstr("kubectl config use-context")));
  EXPECT_THAT(Read("- a\n"), StatusIs(Code::kInvalidArgument, HasSubstr("not a kubeconfig")));
  EXPECT_THAT(Read(""), StatusIs(Code::kInvalidArgument, HasSubstr("not a kubeconfig")));
  EXPECT_THAT(Read("a: [\n"), StatusIs(Code::kInvalidArgument, HasSubstr("config:2:")));
  EXPECT_THAT(ReadKubeconfig(directory_.path() + "/absent", "", clock_), StatusIs(Code::kNotFound));
}

}  // namespace
}  // namespace dunlin::k8s
