#include "operator/k8s/event_recorder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <optional>

#include "operator/k8s/testing/fake_loop.h"

namespace dunlin::k8s {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::StartsWith;

Json MakeThing(const std::string& name) {
  return {
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata",
       {{"name", name}, {"namespace", "space"}, {"uid", "uid-" + name}, {"resourceVersion", "5"}}}};
}

class EventRecorderTest : public ::testing::Test {
 protected:
  EventRecorderTest() : client_(loop_, loop_), recorder_(client_, loop_, {"us", "us-0"}) {}
  ~EventRecorderTest() override { loop_.StopAll(); }

  void Record(const std::string& note, const std::string& name = "a") {
    recorder_.Record(
        MakeThing(name),
        {.type = EventType::kWarning, .reason = "Broken", .action = "Mend", .note = note});
  }
  // How many calls were made; all are answered.
  int Answered() {
    int calls = 0;
    for (; loop_.Waiting() > 0; ++calls) loop_.Answer(201, Json::object());
    return calls;
  }

  FakeLoop loop_;
  Client client_;
  EventRecorder recorder_;
};

TEST_F(EventRecorderTest, SaysWhatWasDoneAndWhy) {
  Record("it broke");
  EXPECT_EQ(loop_.Oldest(), "POST /apis/events.k8s.io/v1/namespaces/space/events");
  const Json event = Json::parse(loop_.OldestBody());
  EXPECT_EQ(event["type"], "Warning");
  EXPECT_EQ(event["reason"], "Broken");
  EXPECT_EQ(event["action"], "Mend");
  EXPECT_EQ(event["note"], "it broke");
  EXPECT_EQ(event["reportingController"], "us");
  EXPECT_EQ(event["reportingInstance"], "us-0");
  EXPECT_EQ(event["regarding"]["uid"], "uid-a");
  EXPECT_EQ(event["eventTime"], "2023-11-14T22:13:20.000000Z");
}

TEST_F(EventRecorderTest, TheSameAgainCountsUp) {
  Record("it broke");
  const Json first = Json::parse(loop_.OldestBody());
  Answered();
  loop_.Advance(seconds(30));
  Record("it broke");
  Record("it broke");
  EXPECT_EQ(loop_.Oldest(), fmt::format("PATCH /apis/events.k8s.io/v1/namespaces/space/events/{}",
                                        std::string(StringAt(first, {"metadata", "name"}))));
  EXPECT_EQ(Json::parse(loop_.OldestBody())["series"]["count"], 2);
  loop_.Answer(200, Json::object());
  EXPECT_EQ(Json::parse(loop_.OldestBody())["series"]["count"], 3);
}

TEST_F(EventRecorderTest, AfterAWhileItIsNew) {
  Record("it broke");
  Answered();
  loop_.Advance(minutes(11));
  Record("it broke");
  EXPECT_THAT(loop_.Oldest(), StartsWith("POST"));
}

TEST_F(EventRecorderTest, AnObjectHasABurstAndThenOneInFiveMinutes) {
  for (int i = 0; i < 100; ++i) Record(fmt::format("note {}", i));
  Record("of another object", "b");
  EXPECT_EQ(Answered(), EventRecorder::kBurst + 1);
  loop_.Advance(minutes(5));
  for (int i = 0; i < 100; ++i) Record(fmt::format("more {}", i));
  EXPECT_EQ(Answered(), 1);
}

TEST_F(EventRecorderTest, ObjectsThatAreSilentLongestAreForgotten) {
  Record("x", "first");
  for (size_t i = 0; i < EventRecorder::kObjectsMax; ++i) Record("x", fmt::format("n{}", i));
  Answered();
  Record("x", "n5");
  EXPECT_THAT(loop_.Oldest(), StartsWith("PATCH"));
  Answered();
  Record("x", "first");
  EXPECT_THAT(loop_.Oldest(), StartsWith("POST"));
}

TEST_F(EventRecorderTest, RefusalsAreNobodysProblem) {
  Record("x");
  loop_.Answer(403, {{"kind", "Status"}, {"code", 403}, {"message", "no"}});
  EXPECT_EQ(loop_.Waiting(), 0U);
}

TEST_F(EventRecorderTest, ObjectsWithoutANamespaceHaveTheirEventsInDefault) {
  Json node = MakeThing("n");
  node["metadata"].erase("namespace");
  recorder_.Record(node, {.reason = "A", .action = "B", .note = "C"});
  EXPECT_EQ(loop_.Oldest(), "POST /apis/events.k8s.io/v1/namespaces/default/events");
}

}  // namespace
}  // namespace dunlin::k8s
