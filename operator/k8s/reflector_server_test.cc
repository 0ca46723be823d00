// The reflector over real connections, from a server that misbehaves.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <optional>

#include "operator/k8s/client.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/reflector.h"
#include "operator/k8s/store.h"
#include "operator/k8s/testing/scripted_server.h"
#include "services/base/mutex.h"

namespace dunlin::k8s {
namespace {

using std::chrono::milliseconds;

ResourceType Pods() { return {.group = "", .version = "v1", .plural = "pods", .kind = "Pod"}; }

Json MakePod(const std::string& name, int version) {
  return {{"metadata",
           {{"namespace", "space"},
            {"name", name},
            {"uid", "uid-" + name},
            {"resourceVersion", std::to_string(version)}}}};
}

std::string MakeEvent(std::string_view type, const Json& object) {
  return PrintJson({{"type", type}, {"object", object}}) + "\n";
}

class ReflectorServerTest : public ::testing::Test {
 protected:
  ReflectorServerTest() {
    store_.AddHandler([this](const Store::Change& change) {
      MutexLock lock(mutex_);
      const Object& any = change.after != nullptr ? change.after : change.before;
      seen_.push_back((change.after == nullptr ? "-" : "+") + KeyOf(*any).name);
      changed_.SignalAll();
    });
  }
  ~ReflectorServerTest() override {
    if (loop_.has_value()) loop_->Stop();
  }

  void Reflect(ScriptedServer::Script script, milliseconds idle = milliseconds(60'000)) {
    server_.emplace(std::move(script));
    loop_.emplace(ApiServer{.url = server_->Url()}, "test/1", clock_);
    client_.emplace(*loop_, *loop_);
    reflector_.emplace(
        *client_, *loop_, *loop_, store_,
        ReflectorOptions{.type = Pods(),
                         .backoff = {.first = milliseconds(1), .max = milliseconds(10)},
                         .idle_timeout = idle});
    reflector_->Start();
  }
  void WaitFor(const std::string& what) {
    MutexLock lock(mutex_);
    while (std::find(seen_.begin(), seen_.end(), what) == seen_.end()) changed_.Wait(mutex_);
  }
  static void AnswerList(ServerConnection& connection, int version,
                         const std::vector<Json>& items) {
    connection.Answer(200, PrintJson({{"kind", "PodList"},
                                      {"apiVersion", "v1"},
                                      {"metadata", {{"resourceVersion", std::to_string(version)}}},
                                      {"items", items}}));
  }

  SystemClock clock_;
  std::optional<ScriptedServer> server_;
  Store store_;
  std::optional<CurlLoop> loop_;
  std::optional<Client> client_;
  std::optional<Reflector> reflector_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> seen_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(ReflectorServerTest, EventsByteByByte) {
  Reflect([](const ServerRequest& request, ServerConnection& connection) {
    if (request.Parameter("watch").empty()) return AnswerList(connection, 9, {MakePod("a", 1)});
    connection.BeginStream();
    for (const char c : MakeEvent("ADDED", MakePod("b", 10))) connection.Chunk({&c, 1});
    connection.WaitUntilGone();
  });
  WaitFor("+a");
  WaitFor("+b");
}

// Cut at each byte of an event in turn: nothing is lost, nothing is told twice.
TEST_F(ReflectorServerTest, StreamsThatAreCutAnywhere) {
  const std::string event = MakeEvent("ADDED", MakePod("last", 10));
  size_t cut = 0;
  Reflect([&](const ServerRequest& request, ServerConnection& connection) {
    if (request.Parameter("watch").empty()) return AnswerList(connection, 9, {});
    EXPECT_EQ(request.Parameter("resourceVersion"), "9");
    connection.BeginStream();
    if (cut == event.size()) {
      connection.Chunk(event);
      return connection.WaitUntilGone();
    }
    if (cut > 0) connection.Chunk(event.substr(0, cut));
    ++cut;
    cut % 2 == 0 ? connection.Close() : connection.Reset();
  });
  WaitFor("+last");
  EXPECT_EQ(reflector_->CurrentState().lists, 1U);
  EXPECT_EQ(reflector_->CurrentState().watches, event.size() + 1);
}

TEST_F(ReflectorServerTest, ExpiredBothWaysWithWhatWentMeanwhile) {
  std::atomic<int> lists = 0;
  Reflect([&](const ServerRequest& request, ServerConnection& connection) {
    const std::string expired =
        R"({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})";
    if (request.Parameter("watch").empty()) {
      ++lists;
      if (lists == 1) return AnswerList(connection, 10, {MakePod("a", 1), MakePod("b", 2)});
      if (lists == 2) return AnswerList(connection, 20, {MakePod("b", 2)});
      return AnswerList(connection, 30, {MakePod("c", 25)});
    }
    if (request.Parameter("resourceVersion") == "10") return connection.Answer(410, expired);
    connection.BeginStream();
    if (request.Parameter("resourceVersion") == "20") {
      connection.Chunk(MakeEvent("ERROR", Json::parse(expired)));
      return connection.EndStream();
    }
    connection.WaitUntilGone();
  });
  WaitFor("-a");
  WaitFor("-b");
  WaitFor("+c");
  EXPECT_EQ(store_.List().size(), 1U);
  EXPECT_EQ(reflector_->CurrentState().expirations, 2U);
}

TEST_F(ReflectorServerTest, AStreamThatFallsSilentIsGivenUp) {
  std::atomic<int> watches = 0;
  Reflect(
      [&](const ServerRequest& request, ServerConnection& connection) {
        if (request.Parameter("watch").empty()) return AnswerList(connection, 9, {});
        connection.BeginStream();
        if (++watches == 2) connection.Chunk(MakeEvent("ADDED", MakePod("a", 10)));
        connection.WaitUntilGone();
      },
      milliseconds(50));
  WaitFor("+a");
  EXPECT_GE(reflector_->CurrentState().idle_ends, 1U);
}

TEST_F(ReflectorServerTest, LargeEvents) {
  Reflect([](const ServerRequest& request, ServerConnection& connection) {
    if (request.Parameter("watch").empty()) return AnswerList(connection, 9, {});
    Json pod = MakePod("large", 10);
    pod["data"] = std::string(3 << 20, 'x');
    connection.BeginStream();
    connection.Chunk(MakeEvent("ADDED", pod) + MakeEvent("ADDED", MakePod("small", 11)));
    connection.WaitUntilGone();
  });
  WaitFor("+small");
  EXPECT_EQ((*store_.Get({"space", "large"}))["data"].get_ref<const std::string&>().size(),
            3U << 20);
}

}  // namespace
}  // namespace dunlin::k8s
