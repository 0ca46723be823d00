#include "services/broker/clients/client_registry.h"

#include <gtest/gtest.h>

#include "services/base/testing/manual_clock.h"

namespace dunlin::broker {
namespace {

using std::chrono::seconds;

class ClientRegistryTest : public ::testing::Test {
 protected:
  ManualClock clock_;
  ClientRegistry clients_{{}, clock_};
};

TEST_F(ClientRegistryTest, AnySignOfLifeKeepsAClient) {
  EXPECT_FALSE(clients_.IsAlive("a"));
  EXPECT_TRUE(clients_.Touch("a"));
  clock_.Advance(seconds(119));
  EXPECT_TRUE(clients_.IsAlive("a"));
  EXPECT_TRUE(clients_.Touch("a"));
  clock_.Advance(seconds(119));
  EXPECT_TRUE(clients_.TakeExpired().empty());
  clock_.Advance(seconds(1));
  EXPECT_FALSE(clients_.IsAlive("a"));
  EXPECT_EQ(clients_.TakeExpired(), std::vector<std::string>{"a"});
  EXPECT_TRUE(clients_.List().empty());
}

TEST_F(ClientRegistryTest, AClientWhoseStreamsBrokeExpiresSooner) {
  clients_.StreamOpened("a");
  clients_.StreamOpened("a");
  clients_.StreamClosed("a");
  clock_.Advance(seconds(60));
  EXPECT_TRUE(clients_.IsAlive("a"));
  clients_.StreamClosed("a");
  EXPECT_FALSE(clients_.IsAlive("a"));
  // It still sends heartbeats: it lives, only its stream is gone.
  EXPECT_TRUE(clients_.Touch("a"));
  EXPECT_TRUE(clients_.IsAlive("a"));
  clock_.Advance(seconds(35));
  EXPECT_FALSE(clients_.IsAlive("a"));
}

TEST_F(ClientRegistryTest, KeepsWhatAClientSaysOfItself) {
  ClientInfo info;
  info.client_id = "a";
  info.language = "JAVA";
  info.group = "g";
  EXPECT_TRUE(clients_.Update(info));
  clients_.StreamOpened("a");
  EXPECT_TRUE(clients_.Update(info));  // does not close the stream
  ASSERT_TRUE(clients_.Find("a").has_value());
  EXPECT_EQ(clients_.Find("a")->language, "JAVA");
  EXPECT_EQ(clients_.Find("a")->streams, 1u);
  clients_.Remove("a");
  EXPECT_FALSE(clients_.Find("a").has_value());
}

TEST_F(ClientRegistryTest, RefusesMoreThanFit) {
  ClientRegistryOptions options;
  options.max_clients = 1;
  ClientRegistry clients(options, clock_);
  EXPECT_TRUE(clients.Touch("a"));
  EXPECT_FALSE(clients.Touch("b"));
  EXPECT_TRUE(clients.Touch("a"));
}

}  // namespace
}  // namespace dunlin::broker
