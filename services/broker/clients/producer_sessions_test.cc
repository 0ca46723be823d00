#include "services/broker/clients/producer_sessions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;
using Outcome = ProducerSessions::Outcome;

class FakeSession final : public ProducerSession {
 public:
  bool Offer(const std::string& command) override {
    if (busy) return false;
    commands.push_back(command);
    return true;
  }
  bool busy = false;
  std::vector<std::string> commands;
};

class ProducerSessionsTest : public ::testing::Test {
 protected:
  ProducerSessions sessions_;
  const std::shared_ptr<FakeSession> a_ = std::make_shared<FakeSession>();
  const std::shared_ptr<FakeSession> b_ = std::make_shared<FakeSession>();
};

TEST_F(ProducerSessionsTest, ThoseOfATopicAreAskedInTurn) {
  EXPECT_EQ(sessions_.Offer("t", "1"), Outcome::kNobody);
  sessions_.Put(a_, {"t", "t", "u"});
  sessions_.Put(b_, {"t"});
  for (const char* command : {"1", "2", "3"}) {
    EXPECT_EQ(sessions_.Offer("t", command), Outcome::kOffered);
  }
  EXPECT_THAT(a_->commands, ElementsAre("1", "3"));
  EXPECT_THAT(b_->commands, ElementsAre("2"));
  EXPECT_EQ(sessions_.Offer("u", "4"), Outcome::kOffered);
  EXPECT_THAT(a_->commands, ElementsAre("1", "3", "4"));
}

TEST_F(ProducerSessionsTest, OneThatIsBusyOrGoneIsNotAsked) {
  sessions_.Put(a_, {"t"});
  sessions_.Put(b_, {"t"});
  a_->busy = true;
  EXPECT_EQ(sessions_.Offer("t", "1"), Outcome::kOffered);
  EXPECT_EQ(sessions_.Offer("t", "2"), Outcome::kOffered);
  EXPECT_THAT(b_->commands, ElementsAre("1", "2"));
  sessions_.Remove(b_);
  EXPECT_EQ(sessions_.Offer("t", "3"), Outcome::kBusy);
  sessions_.Remove(a_);
  sessions_.Remove(a_);
  EXPECT_EQ(sessions_.Offer("t", "3"), Outcome::kNobody);
  EXPECT_FALSE(sessions_.HasAny("t"));
}

TEST_F(ProducerSessionsTest, OnlyWhatIsNewIsAnArrival) {
  EXPECT_EQ(sessions_.arrivals(), 0u);
  sessions_.Put(a_, {"t"});
  EXPECT_EQ(sessions_.arrivals(), 1u);
  sessions_.Put(a_, {"t"});
  EXPECT_EQ(sessions_.arrivals(), 1u);
  sessions_.Put(a_, {"u"});
  EXPECT_EQ(sessions_.arrivals(), 2u);
  EXPECT_FALSE(sessions_.HasAny("t"));
  EXPECT_TRUE(sessions_.HasAny("u"));
}

}  // namespace
}  // namespace dunlin::broker
