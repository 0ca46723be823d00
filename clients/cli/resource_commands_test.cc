// `dunlinctl topic` and `dunlinctl group`, from their arguments to what brokers are asked for.

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <wordexp.h>

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "clients/cli/command_line.h"
#include "clients/cli/settings_options.h"
#include "clients/cli/testing/fake_cluster.h"
#include "clients/cli/testing/fake_resources.h"
#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::cli {
namespace {

using admin::v1::Group;
using admin::v1::Topic;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ResourceCommandsTest : public ClusterTest<FakeResources> {
 protected:
  // The exit status of `dunlinctl ...`, with the words that a shell makes of it.
  int Do(const std::string& words) {
    GlobalOptions options;
    Command command;
    CLI::App app;
    DefineCommandLine(app, options, command);
    wordexp_t split;
    EXPECT_EQ(wordexp(("--endpoint " + options_.endpoint + " " + words).c_str(), &split, 0), 0);
    std::vector<std::string> arguments(split.we_wordv, split.we_wordv + split.we_wordc);
    wordfree(&split);
    // CLI11 takes them in reverse.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    Connection connection(options);
    return Run([&] { return command(connection); });
  }
  // What broker a is asked for by an update with the options of `text`, which is a change.
  template <typename Proto>
  static Proto Parsed(const std::string& text) {
    Proto proto;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &proto)) << text;
    return proto;
  }
  void ExpectTheSame(const std::string& text) {
    const auto change = Parsed<Topic>("name: 't' send_rate {} " + text);
    EXPECT_EQ(Do("topic update t" + OptionsOf(change)), kOk) << OptionsOf(change);
    EXPECT_EQ(brokers_["a"].topic_updates.back().DebugString(), change.DebugString());
  }
  void ExpectTheSameOfGroup(const std::string& text) {
    const auto change = Parsed<Group>("name: 'g' rate {} " + text);
    EXPECT_EQ(Do("group update g" + OptionsOf(change)), kOk) << OptionsOf(change);
    EXPECT_EQ(brokers_["a"].group_updates.back().DebugString(), change.DebugString());
  }
};

TEST_F(ResourceCommandsTest, AGroupIsMadeChangedAndDeletedEverywhere) {
  EXPECT_EQ(Do("group create g --max-attempts 5"), kOk);
  EXPECT_THAT(said_, HasSubstr("at broker groups: a, b, c\n"));
  EXPECT_EQ(Do("group create g"), kRefused);
  EXPECT_EQ(Do("group update g --max-attempts 6"), kOk);
  EXPECT_THAT(said_, HasSubstr("at broker groups: a, b, c\n"));
  EXPECT_EQ(Do("group pause g"), kOk);
  EXPECT_EQ(said_, "at broker groups: a, b, c\n");
  for (const char* broker : {"a", "b", "c"}) {
    EXPECT_EQ(brokers_[broker].groups["g"].max_attempts(), 6u);
    EXPECT_TRUE(brokers_[broker].groups["g"].paused());
  }
  EXPECT_EQ(Do("group resume g -o json"), kOk);
  EXPECT_THAT(said_, HasSubstr("\"paused\": false"));
  EXPECT_EQ(Do("group delete g --yes"), kOk);
  for (const auto& [name, broker] : brokers_) EXPECT_THAT(broker.groups, IsEmpty()) << name;
}

TEST_F(ResourceCommandsTest, ATopicIsChangedAndDeletedEverywhere) {
  EXPECT_EQ(Do("topic create t --queues 2"), kOk);
  EXPECT_EQ(Do("topic update t --queues 4 -o json"), kOk);
  EXPECT_THAT(said_, HasSubstr("\"queues\": 4"));
  for (const auto& [name, broker] : brokers_) EXPECT_THAT(broker.topic_updates, SizeIs(1)) << name;
  EXPECT_EQ(Do("topic delete t --yes"), kOk);
  for (const auto& [name, broker] : brokers_) EXPECT_THAT(broker.topics, IsEmpty()) << name;
}

TEST_F(ResourceCommandsTest, ADescriptionMayBeTakenAway) {
  EXPECT_EQ(Do("topic create t --description old"), kOk);
  EXPECT_EQ(Do("topic update t --queues 4"), kOk);
  EXPECT_FALSE(brokers_["a"].topic_updates.back().has_description());
  EXPECT_EQ(Do("topic update t --description ''"), kOk);
  EXPECT_TRUE(brokers_["a"].topic_updates.back().has_description());
  EXPECT_EQ(brokers_["a"].topics["t"].description(), "");
}

// So that a command which is to put something back does so.
TEST_F(ResourceCommandsTest, SettingsOfATopicAsOptionsSayTheSame) {
  EXPECT_EQ(Do("topic create t"), kOk);
  ExpectTheSame("queues: 3 kinds: NORMAL kinds: FIFO permission: READ description: 'of a shop'");
  ExpectTheSame("description: '' compacted: true");
  ExpectTheSame("retention { max_age_ms: 3600001 max_queue_bytes: 7 consumed: false }");
  ExpectTheSame("retention { max_age_ms: 0 max_queue_bytes: 0 consumed: true }");
  brokers_["a"].topics["t"].clear_kinds();
  brokers_["a"].topics["t"].add_kinds(admin::v1::LITE);
  ExpectTheSame("lite_expiration_minutes: 0 compacted: true");
  ExpectTheSame("queues: 1");
  EXPECT_EQ(OptionsOf(Parsed<Topic>("send_rate { messages_per_second: 0 bytes_per_second: 9 }")),
            " --max-messages-per-second 0 --max-bytes-per-second 9");
  EXPECT_EQ(OptionsOf(Topic()), "");
}

TEST_F(ResourceCommandsTest, SettingsOfAGroupAsOptionsSayTheSame) {
  EXPECT_EQ(Do("group create g"), kOk);
  ExpectTheSameOfGroup("max_attempts: 3 retry_delays_ms: 1000 retry_delays_ms: 0");
  ExpectTheSameOfGroup("exponential { initial_ms: 100 max_ms: 60000 multiplier: 1.5 }");
  ExpectTheSameOfGroup("description: 'it is' delivery_order: IN_ORDER priority_factor: 0");
  ExpectTheSameOfGroup("start { first: true } max_in_flight: 0");
  ExpectTheSameOfGroup("start { last: true } description: ''");
  ExpectTheSameOfGroup("start { time { seconds: 1700000000 nanos: 123000000 } }");
  ExpectTheSameOfGroup("lite_bind_topic: 'sessions' lite_model: LITE_EXCLUSIVE");
  EXPECT_EQ(OptionsOf(Group()), "");
}

}  // namespace
}  // namespace dunlin::cli
