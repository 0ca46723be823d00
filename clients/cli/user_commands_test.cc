// `dunlinctl user`, from its arguments to what it shows.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "clients/cli/command_line.h"
#include "clients/cli/testing/fake_cluster.h"
#include "clients/cli/testing/fake_users.h"
#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::cli {
namespace {

using admin::v1::User;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class UserCommandsTest : public ClusterTest<FakeUsers> {
 protected:
  // The exit status of `dunlinctl user ...`, given in reverse as CLI11 takes it.
  int Do(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--endpoint", options_.endpoint, "user"});
    GlobalOptions options;
    Command command;
    CLI::App app;
    DefineCommandLine(app, options, command);
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    Connection connection(options);
    return Run([&] { return command(connection); });
  }
  std::string Write(const std::string& contents) {
    std::string path = ::testing::TempDir() + "secret";
    std::ofstream(path) << contents;
    return path;
  }
  User& Ann(const std::string& broker = "a") { return brokers_[broker].users.at("ann"); }
};

TEST_F(UserCommandsTest, AUserIsMadeAsTheOptionsSay) {
  EXPECT_EQ(
      Do({"create", "ann", "--secret-file", Write("secret-of-ann\n"), "--description", "who sells",
          "--allow", "topic:orders:pub,sub", "--deny", "group:*:all@10.0.0.0/8"}),
      kOk);
  for (const char* broker : {"a", "b", "c"}) {
    EXPECT_EQ(Ann(broker).secret_fingerprint(), "secret-of-ann");
    EXPECT_EQ(Ann(broker).description(), "who sells");
    EXPECT_EQ(Ann(broker).rules_size(), 2);
  }
  EXPECT_THAT(said_, HasSubstr("ALLOW     topic:orders:pub,sub\n"));
  EXPECT_THAT(said_, HasSubstr("DENY      group:*:all@10.0.0.0/8\n"));
  EXPECT_THAT(said_, HasSubstr("at broker groups: a, b, c\n"));
  EXPECT_THAT(said_, Not(HasSubstr("secret key")));
}

TEST_F(UserCommandsTest, AGeneratedSecretIsShownOnce) {
  EXPECT_EQ(Do({"create", "ann", "--generate", "--super"}), kOk);
  EXPECT_EQ(Ann().type(), admin::v1::SUPER_USER);
  const std::string secret = Ann().secret_fingerprint();
  EXPECT_THAT(secret, MatchesRegex("[a-z2-7]{32}"));
  EXPECT_EQ(Ann("b").secret_fingerprint(), secret);
  EXPECT_THAT(said_, HasSubstr("secret key, which is not shown again: " + secret + "\n"));
  EXPECT_EQ(Do({"update", "ann", "--generate", "-o", "json"}), kOk);
  EXPECT_NE(Ann().secret_fingerprint(), secret);
  EXPECT_THAT(said_, HasSubstr("\"secret\": \"" + Ann().secret_fingerprint() + "\""));
}

TEST_F(UserCommandsTest, ASecretThatSomeGroupHasNowIsShownWhateverHappens) {
  EXPECT_EQ(Do({"create", "ann", "--generate"}), kOk);
  brokers_["b"].update_fails = {grpc::StatusCode::UNAVAILABLE, "gone away"};
  EXPECT_EQ(Do({"update", "ann", "--generate"}), kRefused);
  EXPECT_THAT(said_, HasSubstr("with the secret below in a --secret-file and --broker b"));
  EXPECT_THAT(said_, HasSubstr("which is not shown again: " + Ann().secret_fingerprint() + "\n"));
}

TEST_F(UserCommandsTest, AnUpdateKeepsWhatItDoesNotName) {
  ASSERT_EQ(Do({"create", "ann", "--secret-file", Write("secret-of-ann"), "--description", "d",
                "--allow", "topic:orders:pub"}),
            kOk);
  User expected = Ann();
  EXPECT_EQ(Do({"update", "ann", "--disabled"}), kOk);
  expected.set_enabled(false);
  EXPECT_EQ(Ann().SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(Do({"update", "ann", "--description", ""}), kOk);
  expected.clear_description();
  EXPECT_EQ(Ann().SerializeAsString(), expected.SerializeAsString());
  EXPECT_EQ(Do({"update", "ann", "--allow", "cluster:get", "--enabled"}), kOk);
  EXPECT_TRUE(Ann().enabled());
  ASSERT_EQ(Ann().rules_size(), 1);
  EXPECT_EQ(Ann().rules(0).resource(), admin::v1::AccessRule::CLUSTER);
  EXPECT_EQ(Do({"update", "ann", "--super", "--no-rules"}), kOk);
  EXPECT_EQ(Ann().rules_size(), 0);
  EXPECT_EQ(Ann().type(), admin::v1::SUPER_USER);
  EXPECT_EQ(Do({"update", "ann", "--normal"}), kOk);
  EXPECT_EQ(Ann().type(), admin::v1::NORMAL_USER);
  EXPECT_EQ(Ann().secret_fingerprint(), "secret-of-ann");
}

TEST_F(UserCommandsTest, SingleRulesComeAndGo) {
  ASSERT_EQ(Do({"create", "ann", "--secret-file", Write("secret-of-ann"), "--allow",
                "topic:orders:pub", "--deny", "topic:secret*:all"}),
            kOk);
  EXPECT_EQ(Do({"update", "ann", "--add-allow", "topic:refunds:pub", "--remove-deny",
                "topic:secret*:all"}),
            kOk);
  ASSERT_EQ(Ann().rules_size(), 2);
  EXPECT_EQ(Ann().rules(0).name(), "orders");
  EXPECT_EQ(Ann().rules(1).name(), "refunds");
  EXPECT_EQ(Do({"update", "ann", "--add-deny", "topic:*:delete"}), kOk);
  ASSERT_EQ(Ann().rules_size(), 3);
  EXPECT_EQ(Ann().rules(2).decision(), admin::v1::AccessRule::DENY);
  // Of the other decision, and one that is there already.
  EXPECT_EQ(Do({"update", "ann", "--remove-deny", "topic:orders:pub", "--add-allow",
                "topic:refunds:pub"}),
            kNotFound);
  EXPECT_THAT(said_, HasSubstr("has no rule to deny topic:orders:pub"));
  EXPECT_EQ(Ann().rules_size(), 3);
}

TEST_F(UserCommandsTest, UsersAreShownForEachGroup) {
  ASSERT_EQ(Do({"create", "ann", "--secret-file", Write("secret-of-ann"), "--enabled"}), kOk);
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"list"}, {"get", "ann"}}) {
    EXPECT_EQ(Do(arguments), kOk);
    EXPECT_THAT(said_, HasSubstr("broker group c\nUSER  TYPE    STATE    RULES"));
    EXPECT_THAT(said_, HasSubstr("ann   NORMAL  ENABLED  0      secret-of-ann"));
  }
  EXPECT_EQ(Do({"get", "ann", "-o", "json"}), kOk);
  EXPECT_THAT(said_, HasSubstr("{\"broker\": \"b\", \"result\": {"));
}

TEST_F(UserCommandsTest, AUserIsDeletedEverywhere) {
  ASSERT_EQ(Do({"create", "ann", "--generate"}), kOk);
  EXPECT_EQ(Do({"delete", "ann", "--yes"}), kOk);
  for (const auto& [name, broker] : brokers_) EXPECT_TRUE(broker.users.empty()) << name;
}

TEST_F(UserCommandsTest, ARuleThatIsNoneIsToldBeforeAnythingIsDone) {
  try {
    Do({"create", "ann", "--generate", "--allow", "topic:orders"});
    FAIL();
  } catch (const CLI::ParseError& error) {
    EXPECT_THAT(std::string(error.what()), HasSubstr("2 of the 3 parts RESOURCE:NAME:ACTION"));
  }
}

}  // namespace
}  // namespace dunlin::cli
