// The client and its loop against a server that misbehaves.

#include "operator/k8s/client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "operator/k8s/api_error.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/testing/scripted_server.h"
#include "operator/k8s/testing/test_certificate.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::k8s {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Code = absl::StatusCode;

ResourceType Pods() { return {.group = "", .version = "v1", .plural = "pods", .kind = "Pod"}; }
ObjectKey PodKey() { return {"space", "a"}; }

constexpr std::string_view kUnavailable = R"({"kind": "Status", "code": 503, "message": "later"})";

class ClientTest : public ::testing::Test {
 protected:
  // REQUIRES: server_ is there.
  void Connect(ApiServer server = {}) {
    if (server.url.empty()) server.url = server_->Url();
    loop_.emplace(std::move(server), "test/1", clock_);
    ClientOptions options;
    options.retry.backoff.first = milliseconds(1);
    options.attempt_timeout = milliseconds(5000);
    client_.emplace(*loop_, *loop_, options);
  }
  void Serve(ScriptedServer::Script script) { server_.emplace(std::move(script)); }

  ~ClientTest() override {
    if (loop_.has_value()) loop_->Stop();
  }

  SystemClock clock_;
  std::optional<ScriptedServer> server_;
  std::optional<CurlLoop> loop_;
  std::optional<Client> client_;
};

TEST_F(ClientTest, CallsShareOneConnection) {
  Serve([](const ServerRequest& request, ServerConnection& connection) {
    EXPECT_EQ(request.headers.at("user-agent"), "test/1");
    EXPECT_EQ(request.headers.at("accept"), "application/json");
    connection.Answer(200, PrintJson({{"path", request.path}}));
  });
  Connect();
  for (int i = 0; i < 10; ++i) {
    const auto answer = client_->Run(Get(Pods(), PodKey()));
    ASSERT_OK(answer);
    EXPECT_EQ((*answer)["path"], "/api/v1/namespaces/space/pods/a");
  }
  EXPECT_EQ(server_->Connections(), 1);
}

TEST_F(ClientTest, BodiesAndTheirTypesArrive) {
  Serve([](const ServerRequest& request, ServerConnection& connection) {
    connection.Answer(200, PrintJson({{"method", request.method},
                                      {"type", request.headers.at("content-type")},
                                      {"manager", request.Parameter("fieldManager")},
                                      {"body", Json::parse(request.body)}}));
  });
  Connect();
  const Json pod = NewObject(Pods(), PodKey());
  const auto answer = client_->Run(Apply(Pods(), pod, {.field_manager = "a b", .force = true}));
  ASSERT_OK(answer);
  EXPECT_EQ((*answer)["method"], "PATCH");
  EXPECT_EQ((*answer)["type"], "application/apply-patch+yaml");
  EXPECT_EQ((*answer)["manager"], "a b");
  EXPECT_EQ((*answer)["body"], pod);
}

TEST_F(ClientTest, SlowBytesAreWaitedFor) {
  Serve([](const ServerRequest& /*request*/, ServerConnection& connection) {
    const std::string answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"slow\": "
        "42}\n";
    for (const char c : answer) connection.Send({&c, 1});
  });
  Connect();
  const auto answer = client_->Run(Get(Pods(), PodKey()));
  ASSERT_OK(answer);
  EXPECT_EQ((*answer)["slow"], 42);
}

TEST_F(ClientTest, TooManyRequestsIsAskedAgainAfterItsTime) {
  std::atomic<int> calls = 0;
  Serve([&](const ServerRequest& /*request*/, ServerConnection& connection) {
    if (++calls == 1) {
      connection.Answer(429, R"({"kind": "Status", "code": 429})", {"Retry-After: 1"});
    } else {
      connection.Answer(201, "{}");
    }
  });
  Connect();
  const Timestamp begun = clock_.Now();
  EXPECT_OK(client_->Run(Create(Pods(), NewObject(Pods(), PodKey()))));
  EXPECT_GE(clock_.Now() - begun, milliseconds(1000));
  EXPECT_EQ(calls, 2);
}

TEST_F(ClientTest, ServerErrorsAreRetriedForWhatIsIdempotentOnly) {
  std::atomic<int> calls = 0;
  Serve([&](const ServerRequest& /*request*/, ServerConnection& connection) {
    ++calls;
    connection.Answer(503, kUnavailable);
  });
  Connect();
  EXPECT_THAT(client_->Run(Get(Pods(), PodKey())), StatusIs(Code::kUnavailable, "later"));
  EXPECT_EQ(calls.exchange(0), 5);
  EXPECT_THAT(client_->Run(Create(Pods(), NewObject(Pods(), PodKey()))),
              StatusIs(Code::kUnavailable));
  EXPECT_EQ(calls, 1);
}

TEST_F(ClientTest, ConnectionsThatBreakAreMadeAgain) {
  std::atomic<int> calls = 0;
  Serve([&](const ServerRequest& /*request*/, ServerConnection& connection) {
    switch (++calls) {
      case 1:
        return connection.Reset();
      case 2:
        return connection.Close();
      case 3:
        connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half");
        return connection.Reset();
      default:
        connection.Answer(200, R"({"whole": true})");
    }
  });
  Connect();
  const auto answer = client_->Run(Get(Pods(), PodKey()));
  ASSERT_OK(answer);
  EXPECT_EQ((*answer)["whole"], true);
  EXPECT_GE(calls, 4);
}

TEST_F(ClientTest, HalfAnAnswerIsNone) {
  Serve([](const ServerRequest& /*request*/, ServerConnection& connection) {
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}");
    connection.Close();
  });
  Connect();
  EXPECT_THAT(client_->Run(Get(Pods(), PodKey())), StatusIs(Code::kUnavailable));
}

TEST_F(ClientTest, WhatIsNotJsonIsAnError) {
  Serve([](const ServerRequest& /*request*/, ServerConnection& connection) {
    connection.Answer(200, "<html>");
  });
  Connect();
  EXPECT_THAT(client_->Run(Get(Pods(), PodKey())), StatusIs(Code::kInvalidArgument));
}

TEST_F(ClientTest, ASilentServerIsGivenUp) {
  Serve([](const ServerRequest& /*request*/, ServerConnection& connection) {
    connection.WaitUntilGone();
  });
  loop_.emplace(ApiServer{.url = server_->Url()}, "test/1", clock_);
  Client client(*loop_, *loop_, {.attempt_timeout = milliseconds(50)});
  EXPECT_THAT(client.Run(Get(Pods(), PodKey())),
              StatusIs(Code::kDeadlineExceeded, HasSubstr("did not answer in time")));
  loop_->Stop();
}

TEST_F(ClientTest, NobodyThereIsSaidAfterSomeTries) {
  Serve([](const ServerRequest& /*request*/, ServerConnection& /*connection*/) {});
  const std::string url = server_->Url();
  server_.reset();
  Connect({.url = url});
  // Never sent: tried again even though it is not idempotent.
  EXPECT_THAT(client_->Run(Create(Pods(), NewObject(Pods(), PodKey()))),
              StatusIs(Code::kUnavailable, HasSubstr(url)));
}

TEST_F(ClientTest, RefusalsKeepWhatTheServerSaid) {
  Serve([](const ServerRequest& /*request*/, ServerConnection& connection) {
    connection.Answer(409, R"({"kind": "Status", "code": 409, "reason": "Conflict",
        "message": "Apply failed with 1 conflict", "details": {"causes": [
        {"field": ".spec.replicas", "message": "conflict with \"kubectl\""}]}})");
  });
  Connect();
  const auto answer = client_->Run(Get(Pods(), PodKey()));
  EXPECT_TRUE(IsConflict(answer.status()));
  EXPECT_THAT(ApiErrorOf(answer.status())->causes, SizeIs(1));
}

TEST_F(ClientTest, ListsAreReadPageByPage) {
  Serve([](const ServerRequest& request, ServerConnection& connection) {
    const int from = std::atoi(request.Parameter("continue").c_str());
    Json page = {{"kind", "PodList"},
                 {"apiVersion", "v1"},
                 {"metadata", {{"resourceVersion", "77"}}},
                 {"items", Json::array()}};
    for (int i = from; i < std::min(from + 2, 5); ++i) {
      page["items"].push_back({{"metadata", {{"name", fmt::format("p{}", i)}}}});
    }
    if (from + 2 < 5) page["metadata"]["continue"] = std::to_string(from + 2);
    connection.Answer(200, PrintJson(page));
  });
  Connect();
  const auto list = client_->ListAll(Pods(), {});
  ASSERT_OK(list);
  ASSERT_THAT(list->items, SizeIs(5));
  EXPECT_EQ(list->items[4]["metadata"]["name"], "p4");
  EXPECT_EQ(list->items[4]["kind"], "Pod");
  EXPECT_EQ(list->resource_version, "77");
}

TEST_F(ClientTest, AListThatExpiresBeginsAgain) {
  std::atomic<int> calls = 0;
  Serve([&](const ServerRequest& request, ServerConnection& connection) {
    if (++calls == 2) {
      connection.Answer(410, R"({"kind": "Status", "code": 410, "reason": "Expired"})");
      return;
    }
    Json page = {{"kind", "PodList"}, {"metadata", Json::object()}, {"items", {{{"n", 1}}}}};
    if (request.Parameter("continue").empty()) page["metadata"]["continue"] = "x";
    connection.Answer(200, PrintJson(page));
  });
  Connect();
  const auto list = client_->ListAll(Pods(), {});
  ASSERT_OK(list);
  EXPECT_THAT(list->items, SizeIs(2));
  EXPECT_EQ(calls, 4);
}

TEST_F(ClientTest, ATokenThatWasReplacedIsReadAgain) {
  TempDir directory;
  const std::string path = directory.path() + "/token";
  std::ofstream(path) << "old";
  std::atomic<int> calls = 0;
  Serve([&](const ServerRequest& request, ServerConnection& connection) {
    ++calls;
    if (request.headers.at("authorization") == "Bearer new") {
      connection.Answer(200, "{}");
    } else {
      std::ofstream(path) << "new";
      connection.Answer(401, R"({"kind": "Status", "code": 401})");
    }
  });
  ApiServer server{.url = server_->Url()};
  server.token = std::make_shared<FileToken>(path, clock_);
  Connect(std::move(server));
  EXPECT_OK(client_->Run(Get(Pods(), PodKey())));
  EXPECT_EQ(calls, 2);
}

TEST_F(ClientTest, ManyCallsAtOnce) {
  Serve([](const ServerRequest& request, ServerConnection& connection) {
    connection.Answer(200, PrintJson({{"path", request.path}}));
  });
  Connect();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([this, thread] {
      for (int i = 0; i < 50; ++i) {
        const auto answer = client_->Run(Get(Pods(), {"s", fmt::format("p{}-{}", thread, i)}));
        ASSERT_OK(answer);
        EXPECT_EQ((*answer)["path"], fmt::format("/api/v1/namespaces/s/pods/p{}-{}", thread, i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ClientTest, StopAnswersWhatIsUnderWay) {
  Serve([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path.ends_with("/a")) {
      connection.WaitUntilGone();
    } else {
      connection.Answer(429, "{}", {"Retry-After: 30"});  // its next attempt is a timer
    }
  });
  Connect();
  std::thread hanging(
      [this] { EXPECT_THAT(client_->Run(Get(Pods(), PodKey())), StatusIs(Code::kCancelled)); });
  std::thread waiting([this] {
    EXPECT_THAT(client_->Run(Get(Pods(), {"space", "b"})), StatusIs(Code::kCancelled));
  });
  while (server_->Connections() < 2) std::this_thread::yield();
  loop_->Stop();
  hanging.join();
  waiting.join();
  EXPECT_THAT(client_->Run(Get(Pods(), PodKey())), StatusIs(Code::kCancelled));
}

// ---- TLS ----

class ClientTlsTest : public ClientTest {
 protected:
  void ServeTls(const std::string& client_ca = "") {
    server_.emplace(
        [](const ServerRequest& /*request*/, ServerConnection& connection) {
          connection.Answer(200, "{}");
        },
        ScriptedServer::Tls{for_server_.certificate_path, for_server_.key_path, client_ca});
  }

  TempDir directory_;
  const TestAuthority authority_{directory_.path()};
  const TestCertificate for_server_ = authority_.Sign("server");
  const TestCertificate for_client_ = authority_.Sign("client");
  const std::string ca_ = authority_.certificate().certificate_pem;
};

TEST_F(ClientTlsTest, TheClustersOwnAuthorityIsTrusted) {
  ServeTls();
  Connect({.url = server_->Url(), .ca_pem = ca_});
  EXPECT_OK(client_->Run(Get(Pods(), PodKey())));
  EXPECT_OK(client_->Run(Get(Pods(), PodKey())));
  EXPECT_EQ(server_->Connections(), 1);
}

TEST_F(ClientTlsTest, StrangersAreNot) {
  ServeTls();
  Connect({.url = server_->Url()});
  EXPECT_THAT(client_->Run(Get(Pods(), PodKey())),
              StatusIs(Code::kFailedPrecondition, HasSubstr("check the cluster's CA")));
}

TEST_F(ClientTlsTest, NorAreOtherNames) {
  ServeTls();
  Connect({.url = server_->Url(), .ca_pem = ca_, .tls_server_name = "elsewhere"});
  EXPECT_THAT(client_->Run(Get(Pods(), PodKey())),
              StatusIs(Code::kFailedPrecondition, HasSubstr("tls-server-name")));
}

TEST_F(ClientTlsTest, AServerMayBeKnownByAnotherNameThanItsAddress) {
  ServeTls();
  Connect({.url = fmt::format("https://127.0.0.2:{}", server_->port()), .ca_pem = ca_});
  EXPECT_FALSE(client_->Run(Get(Pods(), PodKey())).ok());
  loop_->Stop();
  client_.reset();
  loop_.reset();
  Connect({.url = server_->Url(), .ca_pem = ca_, .tls_server_name = "localhost"});
  EXPECT_OK(client_->Run(Get(Pods(), PodKey())));
}

TEST_F(ClientTlsTest, UnlessItIsAskedNotToLook) {
  ServeTls();
  Connect({.url = server_->Url(), .insecure_skip_tls_verify = true});
  EXPECT_OK(client_->Run(Get(Pods(), PodKey())));
}

TEST_F(ClientTlsTest, ClientCertificatesAreShown) {
  ServeTls(authority_.certificate().certificate_path);
  Connect({.url = server_->Url(),
           .ca_pem = ca_,
           .client_certificate_pem = for_client_.certificate_pem,
           .client_key_pem = for_client_.key_pem});
  EXPECT_OK(client_->Run(Get(Pods(), PodKey())));
}

TEST_F(ClientTlsTest, AServerThatWantsOneRefusesWhoHasNone) {
  ServeTls(authority_.certificate().certificate_path);
  Connect({.url = server_->Url(), .ca_pem = ca_});
  EXPECT_FALSE(client_->Run(Get(Pods(), PodKey())).ok());
}

TEST_F(ClientTlsTest, CertificatesThatAreNoneAreSaidToBe) {
  ServeTls();
  Connect({.url = server_->Url(),
           .ca_pem = ca_,
           .client_certificate_pem = "nonsense",
           .client_key_pem = "nonsense"});
  EXPECT_THAT(client_->Run(Get(Pods(), PodKey())),
              StatusIs(Code::kFailedPrecondition, HasSubstr("cannot be used")));
}

}  // namespace
}  // namespace dunlin::k8s
