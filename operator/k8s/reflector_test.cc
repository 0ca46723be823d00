#include "operator/k8s/reflector.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <optional>

#include "operator/k8s/testing/fake_loop.h"

namespace dunlin::k8s {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ResourceType Pods() { return {.group = "", .version = "v1", .plural = "pods", .kind = "Pod"}; }

Json MakePod(const std::string& name, int version) {
  return {{"metadata",
           {{"namespace", "space"},
            {"name", name},
            {"uid", "uid-" + name},
            {"resourceVersion", std::to_string(version)}}}};
}

Json MakePage(const std::vector<Json>& items, int version, const std::string& next = "") {
  Json page = {{"kind", "PodList"},
               {"apiVersion", "v1"},
               {"metadata", {{"resourceVersion", std::to_string(version)}}},
               {"items", items}};
  if (!next.empty()) page["metadata"]["continue"] = next;
  return page;
}

std::string MakeEvent(std::string_view type, const Json& object) {
  return PrintJson({{"type", type}, {"object", object}}) + "\n";
}

Json MakeStatus(int code, std::string_view reason) {
  return {{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", reason}};
}

class ReflectorTest : public ::testing::Test {
 protected:
  ReflectorTest() {
    ClientOptions once;
    once.retry.attempts_max = 1;
    client_.emplace(loop_, loop_, once);
    reflector_.emplace(*client_, loop_, loop_, store_, ReflectorOptions{.type = Pods()});
    reflector_->Start();
  }
  ~ReflectorTest() override { loop_.StopAll(); }

  // The first list, of these.
  void Fill(const std::vector<Json>& items, int version) {
    loop_.Answer(200, MakePage(items, version));
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const Object& object : store_.List()) {
      names.push_back(fmt::format("{}@{}", KeyOf(*object).name, ResourceVersionOf(*object)));
    }
    return names;
  }
  std::string Version() {
    const std::string call = loop_.Oldest();
    const size_t at = call.find("resourceVersion=");
    return at == std::string::npos ? "" : call.substr(at + 16, call.find('&', at) - at - 16);
  }

  FakeLoop loop_;
  Store store_;
  std::optional<Client> client_;
  std::optional<Reflector> reflector_;
};

TEST_F(ReflectorTest, ListsThenWatches) {
  EXPECT_EQ(loop_.Oldest(), "GET /api/v1/pods?limit=500");
  EXPECT_FALSE(store_.IsSynced());
  Fill({MakePod("a", 3), MakePod("b", 5)}, 9);
  EXPECT_THAT(Names(), ElementsAre("a@3", "b@5"));
  EXPECT_EQ((*store_.Get({"space", "a"}))["kind"], "Pod");
  EXPECT_THAT(loop_.Oldest(), StartsWith("GET /api/v1/pods?watch=true&allowWatchBookmarks=true"));
  EXPECT_EQ(Version(), "9");
}

TEST_F(ReflectorTest, FollowsEvents) {
  Fill({MakePod("a", 3), MakePod("b", 5)}, 9);
  loop_.Send(MakeEvent("MODIFIED", MakePod("a", 10)) + MakeEvent("DELETED", MakePod("b", 11)) +
             MakeEvent("ADDED", MakePod("c", 12)));
  EXPECT_THAT(Names(), ElementsAre("a@10", "c@12"));
}

TEST_F(ReflectorTest, PagesAreOneList) {
  loop_.Answer(200, MakePage({MakePod("a", 1)}, 9, "x/y"));
  EXPECT_FALSE(store_.IsSynced());
  EXPECT_EQ(loop_.Oldest(), "GET /api/v1/pods?limit=500&continue=x%2Fy");
  loop_.Answer(200, MakePage({MakePod("b", 2)}, 9));
  EXPECT_THAT(Names(), ElementsAre("a@1", "b@2"));
}

TEST_F(ReflectorTest, AnExpiredPageBeginsTheListAgain) {
  loop_.Answer(200, MakePage({MakePod("a", 1)}, 9, "next"));
  loop_.Answer(410, MakeStatus(410, "Expired"));
  EXPECT_EQ(loop_.Waiting(), 0U);
  loop_.Advance(seconds(1));
  EXPECT_EQ(loop_.Oldest(), "GET /api/v1/pods?limit=500");
  Fill({MakePod("b", 2)}, 10);
  EXPECT_THAT(Names(), ElementsAre("b@2"));
}

TEST_F(ReflectorTest, AWatchThatEndsGoesOnWhereItWas) {
  Fill({}, 9);
  loop_.Send(MakeEvent("ADDED", MakePod("a", 10)));
  loop_.Advance(minutes(1));
  loop_.End();
  EXPECT_EQ(Version(), "10");
  EXPECT_EQ(reflector_->CurrentState().lists, 1U);
}

TEST_F(ReflectorTest, BookmarksMoveThePlace) {
  Fill({}, 9);
  loop_.Send(MakeEvent("BOOKMARK", {{"metadata", {{"resourceVersion", "77"}}}}));
  loop_.Advance(minutes(1));
  loop_.End();
  EXPECT_EQ(Version(), "77");
  EXPECT_THAT(Names(), ElementsAre());
}

TEST_F(ReflectorTest, ALineCutInTheMiddleIsReadAgain) {
  Fill({}, 9);
  loop_.Send(MakeEvent("ADDED", MakePod("a", 10)));
  const std::string cut = MakeEvent("ADDED", MakePod("b", 11));
  loop_.Send(cut.substr(0, cut.size() / 2));
  loop_.Break(absl::UnavailableError("reset"));
  EXPECT_THAT(Names(), ElementsAre("a@10"));
  EXPECT_THAT(reflector_->CurrentState().error, HasSubstr("reset"));
  loop_.Advance(seconds(1));
  EXPECT_EQ(Version(), "10");
  loop_.Send(cut);
  EXPECT_THAT(Names(), ElementsAre("a@10", "b@11"));
  EXPECT_EQ(reflector_->CurrentState().error, "");
}

TEST_F(ReflectorTest, ExpiredInTheStreamListsAgain) {
  Fill({MakePod("a", 3), MakePod("b", 5)}, 9);
  EXPECT_FALSE(loop_.Send(MakeEvent("ADDED", MakePod("c", 10)) +
                          MakeEvent("ERROR", MakeStatus(410, "Expired"))));
  EXPECT_EQ(loop_.Oldest(), "GET /api/v1/pods?limit=500");
  EXPECT_THAT(Names(), ElementsAre("a@3", "b@5", "c@10"));  // readers still have the old
  Fill({MakePod("b", 20)}, 21);
  EXPECT_THAT(Names(), ElementsAre("b@20"));
  EXPECT_EQ(Version(), "21");
  EXPECT_EQ(reflector_->CurrentState().expirations, 1U);
}

TEST_F(ReflectorTest, ExpiredInsteadOfAStreamListsAgain) {
  Fill({}, 9);
  loop_.Answer(410, MakeStatus(410, "Expired"));
  EXPECT_EQ(loop_.Oldest(), "GET /api/v1/pods?limit=500");
}

TEST_F(ReflectorTest, AServerThatAlwaysExpiresIsNotAskedInACircle) {
  int lists = 0;
  for (int i = 0; i < 20; ++i) {
    if (loop_.Waiting() == 0) break;
    ++lists;
    Fill({}, 9);
    loop_.Answer(410, MakeStatus(410, "Expired"));
  }
  EXPECT_EQ(lists, 2);  // once at once, then it waits
  loop_.Advance(minutes(1));
  EXPECT_GT(loop_.Waiting(), 0U);
}

TEST_F(ReflectorTest, AServerThatEndsEachWatchIsNotAskedInACircle) {
  Fill({}, 9);
  int watches = 0;
  for (int i = 0; i < 20 && loop_.Waiting() > 0; ++i) {
    ++watches;
    loop_.End();
  }
  EXPECT_EQ(watches, 2);
}

TEST_F(ReflectorTest, OtherErrorsGoOnFromTheSamePlace) {
  Fill({MakePod("a", 3)}, 9);
  loop_.Send(MakeEvent("MODIFIED", MakePod("a", 12)));
  loop_.Send(MakeEvent("ERROR", MakeStatus(500, "InternalError")));
  EXPECT_EQ(loop_.Waiting(), 0U);
  loop_.Advance(seconds(1));
  EXPECT_EQ(Version(), "12");
  EXPECT_EQ(reflector_->CurrentState().lists, 1U);
}

TEST_F(ReflectorTest, TooManyRequestsWaitsAsLongAsItIsTold) {
  Fill({}, 9);
  loop_.Answer(429, MakeStatus(429, "TooManyRequests"), 20);
  loop_.Advance(milliseconds(19'999));
  EXPECT_EQ(loop_.Waiting(), 0U);
  loop_.Advance(milliseconds(1));
  EXPECT_EQ(Version(), "9");
}

TEST_F(ReflectorTest, FailuresOfTheListAreWaitedForLongerAndLonger) {
  std::vector<int64_t> waits;
  for (int i = 0; i < 8; ++i) {
    loop_.Answer(500, MakeStatus(500, "InternalError"));
    const Timestamp failed = loop_.Now();
    while (loop_.Waiting() == 0) loop_.Advance(milliseconds(10));
    waits.push_back((loop_.Now() - failed).count());
  }
  EXPECT_GE(waits[0], 400);
  EXPECT_LE(waits[0], 810);
  EXPECT_GE(waits[7], 15'000);
  EXPECT_LE(waits[7], 30'010);
}

TEST_F(ReflectorTest, SilenceEndsAWatch) {
  Fill({}, 9);
  loop_.Advance(minutes(2));
  loop_.Send(MakeEvent("BOOKMARK", {{"metadata", {{"resourceVersion", "10"}}}}));
  loop_.Advance(minutes(2));
  EXPECT_EQ(reflector_->CurrentState().watches, 1U);  // the bookmark counts
  loop_.Advance(minutes(1));
  EXPECT_EQ(reflector_->CurrentState().watches, 2U);
  EXPECT_EQ(reflector_->CurrentState().idle_ends, 1U);
  EXPECT_EQ(Version(), "10");
}

TEST_F(ReflectorTest, GarbageInTheStreamIsGivenUp) {
  Fill({}, 9);
  EXPECT_FALSE(loop_.Send(MakeEvent("ADDED", MakePod("a", 10)) + "<html>\n"));
  EXPECT_THAT(Names(), ElementsAre("a@10"));
  loop_.Advance(seconds(2));
  EXPECT_EQ(Version(), "10");
}

TEST_F(ReflectorTest, AnEventWithoutAVersionIsGivenUp) {
  Fill({}, 9);
  EXPECT_FALSE(loop_.Send(MakeEvent("BOOKMARK", {{"metadata", Json::object()}})));
  EXPECT_THAT(reflector_->CurrentState().error, HasSubstr("resourceVersion"));
}

TEST_F(ReflectorTest, WhatIsNoListIsAFailure) {
  loop_.Answer(200, {{"kind", "Pod"}});
  EXPECT_THAT(reflector_->CurrentState().error, HasSubstr("not a list"));
  loop_.Advance(seconds(1));
  EXPECT_EQ(loop_.Oldest(), "GET /api/v1/pods?limit=500");
}

}  // namespace
}  // namespace dunlin::k8s
