#include "operator/k8s/leader_elector.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <memory>
#include <optional>
#include <random>

#include "operator/k8s/testing/fake_loop.h"

namespace dunlin::k8s {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::StartsWith;

// One Lease as an API server keeps it: with versions that are compared.
class LeaseServer {
 public:
  // Answers the oldest call of `loop`.
  void Serve(FakeLoop& loop) {
    const std::string call = loop.Oldest();
    if (call.starts_with("GET")) {
      loop.Answer(lease_.is_null() ? 404 : 200,
                  lease_.is_null() ? Json{{"kind", "Status"}, {"code", 404}} : lease_);
    } else {
      const bool create = call.starts_with("POST");
      if (Write(Json::parse(loop.OldestBody()), create)) {
        loop.Answer(200, lease_);
      } else {
        loop.Answer(
            409,
            {{"kind", "Status"}, {"code", 409}, {"reason", create ? "AlreadyExists" : "Conflict"}});
      }
    }
  }
  // Does it, and loses the answer.
  void ServeAndLose(FakeLoop& loop) {
    Write(Json::parse(loop.OldestBody()), loop.Oldest().starts_with("POST"));
    loop.Break(absl::UnavailableError("reset"));
  }

  const Json& Lease() const { return lease_; }
  std::string Holder() const { return std::string(StringAt(lease_, {"spec", "holderIdentity"})); }

 private:
  bool Write(const Json& written, bool create) {
    const bool stale = create ? !lease_.is_null()
                              : StringAt(written, {"metadata", "resourceVersion"}) !=
                                    StringAt(lease_, {"metadata", "resourceVersion"});
    if (stale) return false;
    lease_ = written;
    lease_["metadata"]["resourceVersion"] = std::to_string(++version_);
    return true;
  }

  Json lease_;
  int version_ = 0;
};

// One process: its own loop, and so its own clock.
struct Candidate {
  explicit Candidate(const std::string& identity) {
    elector.emplace(loop, loop,
                    LeaderElectorOptions{.lease = {"space", "leader"},
                                         .identity = identity,
                                         .on_started = [this] { ++started; },
                                         .on_lost = [this] { ++lost; },
                                         .on_other = {}});
    elector->Start();
  }
  ~Candidate() { loop.StopAll(); }

  FakeLoop loop;
  std::optional<LeaderElector> elector;
  int started = 0;
  int lost = 0;
};

class LeaderElectorTest : public ::testing::Test {
 protected:
  // All calls of both are answered, for as long as there are any.
  void Settle() {
    for (Candidate* const candidate : {&a_, &b_}) {
      while (candidate->loop.Waiting() > 0) server_.Serve(candidate->loop);
    }
  }
  void Pass(milliseconds time) {
    for (milliseconds passed{0}; passed < time; passed += milliseconds(500)) {
      a_.loop.Advance(milliseconds(500));
      b_.loop.Advance(milliseconds(500));
      Settle();
      ASSERT_FALSE(a_.elector->IsLeader() && b_.elector->IsLeader());
    }
  }

  LeaseServer server_;
  Candidate a_{"a"};
  Candidate b_{"b"};
};

TEST_F(LeaderElectorTest, TheFirstLeadsAndKeepsIt) {
  Settle();
  EXPECT_TRUE(a_.elector->IsLeader());
  EXPECT_FALSE(b_.elector->IsLeader());
  EXPECT_EQ(a_.started, 1);
  const std::string since(StringAt(server_.Lease(), {"spec", "acquireTime"}));
  Pass(seconds(120));
  EXPECT_TRUE(a_.elector->IsLeader());
  EXPECT_EQ(a_.started, 1);
  EXPECT_EQ(b_.started, 0);
  EXPECT_EQ(StringAt(server_.Lease(), {"spec", "acquireTime"}), since);
  EXPECT_NE(StringAt(server_.Lease(), {"spec", "renewTime"}), since);
  EXPECT_EQ(IntAt(server_.Lease(), {"spec", "leaseTransitions"}), 0);
}

TEST_F(LeaderElectorTest, WhoeverStandsStillFencesItselfBeforeAnotherLeads) {
  Settle();
  ASSERT_TRUE(a_.elector->IsLeader());
  // a is cut off: its calls hang; its clock runs.
  milliseconds fenced{0};
  milliseconds taken{0};
  for (milliseconds now{0}; now < seconds(40); now += milliseconds(100)) {
    a_.loop.Advance(milliseconds(100));
    b_.loop.Advance(milliseconds(100));
    while (b_.loop.Waiting() > 0) server_.Serve(b_.loop);
    if (fenced.count() == 0 && !a_.elector->IsLeader()) fenced = now;
    if (taken.count() == 0 && b_.elector->IsLeader()) taken = now;
    ASSERT_FALSE(a_.elector->IsLeader() && b_.elector->IsLeader());
  }
  EXPECT_GE(fenced, milliseconds(9'800));
  EXPECT_LE(fenced, milliseconds(10'000));
  EXPECT_GE(taken, milliseconds(15'000));
  EXPECT_LE(taken, milliseconds(20'000));
  EXPECT_EQ(a_.lost, 1);
  EXPECT_EQ(b_.started, 1);
  EXPECT_EQ(IntAt(server_.Lease(), {"spec", "leaseTransitions"}), 1);
  // Never again, even if the API server can be reached.
  Pass(seconds(60));
  EXPECT_FALSE(a_.elector->IsLeader());
  EXPECT_EQ(server_.Holder(), "b");
}

TEST_F(LeaderElectorTest, TimeAloneFencesAThreadThatStandsStill) {
  Settle();
  const auto before = a_.loop.Now();
  ASSERT_TRUE(a_.elector->IsLeader());
  // A loop that runs nothing: only the clock goes on.
  a_.loop.StopAll();
  a_.loop.Advance(seconds(10));
  EXPECT_EQ(a_.loop.Now() - before, seconds(10));
  EXPECT_FALSE(a_.elector->IsLeader());
}

TEST_F(LeaderElectorTest, LeadershipCountsFromTheSending) {
  Settle();
  // The renewal is sent, answered six seconds later.
  a_.loop.Advance(seconds(2));
  server_.Serve(a_.loop);
  ASSERT_THAT(a_.loop.Oldest(), StartsWith("PUT"));
  a_.loop.Advance(seconds(6));
  server_.Serve(a_.loop);
  EXPECT_TRUE(a_.elector->IsLeader());
  a_.loop.Advance(milliseconds(3'999));
  EXPECT_TRUE(a_.elector->IsLeader());
  a_.loop.Advance(milliseconds(1));
  EXPECT_FALSE(a_.elector->IsLeader());
}

TEST_F(LeaderElectorTest, ALostAnswerIsNoRenewal) {
  Settle();
  a_.loop.Advance(seconds(2));
  server_.Serve(a_.loop);
  server_.ServeAndLose(a_.loop);
  a_.loop.Advance(seconds(2));
  Settle();
  EXPECT_TRUE(a_.elector->IsLeader());
  EXPECT_EQ(server_.Holder(), "a");
  EXPECT_EQ(a_.lost, 0);
}

TEST_F(LeaderElectorTest, AReleasedLeaseIsTakenAtOnce) {
  Settle();
  bool done = false;
  a_.elector->Release([&] { done = true; });
  EXPECT_FALSE(a_.elector->IsLeader());
  Settle();
  EXPECT_TRUE(done);
  EXPECT_EQ(server_.Holder(), "");
  Pass(seconds(2));
  EXPECT_TRUE(b_.elector->IsLeader());
  EXPECT_EQ(a_.lost, 0);
}

TEST_F(LeaderElectorTest, ReleasingWhatIsNotOursIsNothing) {
  Settle();
  bool done = false;
  b_.elector->Release([&] { done = true; });
  Settle();
  EXPECT_TRUE(done);
  EXPECT_EQ(server_.Holder(), "a");
}

TEST_F(LeaderElectorTest, ALeaseOfAnotherIsRespectedHoweverOldItLooks) {
  Settle();
  Json old = server_.Lease();
  old["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z";  // a's clock is wrong
  ASSERT_TRUE(a_.elector->IsLeader());
  b_.loop.Advance(seconds(2));
  ASSERT_THAT(b_.loop.Oldest(), StartsWith("GET"));
  b_.loop.Answer(200, old);
  EXPECT_EQ(b_.loop.Waiting(), 0U);
}

// Two candidates whose calls are answered, lost and held up at random, whose clocks stand still at
// random and differ in rate by 20 %: at no moment do both lead.
TEST(LeaderElectorSimulationTest, NeverTwo) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    LeaseServer server;
    std::vector<std::unique_ptr<Candidate>> candidates;
    for (int i = 0; i < 3; ++i) {
      candidates.push_back(std::make_unique<Candidate>(fmt::format("c{}", i)));
    }
    std::vector<int> cut(candidates.size(), 0);
    int led = 0;
    for (int step = 0; step < 5000; ++step) {
      int leaders = 0;
      for (size_t i = 0; i < candidates.size(); ++i) {
        Candidate& candidate = *candidates[i];
        candidate.loop.Advance(milliseconds(90 + 10 * i));
        if (cut[i] == 0 && random() % 400 == 0) cut[i] = static_cast<int>(random() % 300);
        if (cut[i] > 0) {
          --cut[i];
        } else if (candidate.loop.Waiting() > 0) {
          const bool write = !candidate.loop.Oldest().starts_with("GET");
          const uint32_t fate = random() % 10;
          if (fate == 0 && write) {
            server.ServeAndLose(candidate.loop);
          } else if (fate == 1) {
            candidate.loop.Break(absl::UnavailableError("reset"));
          } else if (fate != 2) {
            server.Serve(candidate.loop);
          }
        }
        leaders += candidate.elector->IsLeader() ? 1 : 0;
        if (candidate.lost > 0) {  // the process starts anew
          candidates[i] = std::make_unique<Candidate>(fmt::format("c{}-{}", i, step));
        }
      }
      ASSERT_LE(leaders, 1) << "seed " << seed << " step " << step;
      led += leaders;
    }
    EXPECT_GT(led, 1000) << "seed " << seed;
  }
}

}  // namespace
}  // namespace dunlin::k8s
