#include "services/runtime/config.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "proto/dunlin/config/v1/rule.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/config_field.h"

namespace dunlin {
namespace {

using config::v1::DunlinConfig;
using config::v1::Rule;
using config::v1::StoreConfig;
using config::v1::TlsConfig;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ConfigTest : public ::testing::Test {
 protected:
  absl::Status LoadText(const std::string& text) {
    std::ofstream(file_, std::ios::binary) << text;
    config_.Clear();
    sources_.file = file_;
    return Load();
  }

  absl::Status Load() {
    absl::StatusOr<ConfigOrigins> origins = LoadConfig(sources_, config_);
    if (!origins.ok()) return origins.status();
    origins_ = *std::move(origins);
    return absl::OkStatus();
  }

  void ExpectRefused(const std::string& text, const std::string& place, const std::string& reason) {
    EXPECT_THAT(LoadText(text), StatusIs(absl::StatusCode::kInvalidArgument,
                                         ::testing::AllOf(StartsWith(file_ + ":" + place + ": "),
                                                          HasSubstr(reason))))
        << text;
  }

  TempDir dir_;
  const std::string file_ = dir_.path() + "/dunlin.yaml";
  ConfigSources sources_;
  DunlinConfig config_;
  ConfigOrigins origins_;
};

TEST_F(ConfigTest, IsTheDefaultWithoutSources) {
  ASSERT_OK(Load());
  EXPECT_EQ(config_.server().listen_address(), "0.0.0.0:8081");
  EXPECT_EQ(config_.server().tls().mode(), TlsConfig::BOTH);
  EXPECT_EQ(config_.store().segment_size_bytes(), 1u << 30);
  EXPECT_EQ(config_.broker().retry_backoff_seconds_size(), 16);
  EXPECT_EQ(origins_.Of("server.listen_address"), "default");
}

TEST_F(ConfigTest, ReadsEveryKindOfField) {
  ASSERT_OK(LoadText(R"(
data_dir: /var/lib/dunlin
server:
  listen_address: "[::]:9000"
  tls: { mode: off }
metrics:
store:
  flush_mode: SYNC_FLUSH
  segment_size_bytes: 2147483648
broker:
  auto_create_topics: true
  retry_backoff_seconds: [1, 2, 3]
)"));
  EXPECT_EQ(config_.data_dir(), "/var/lib/dunlin");
  EXPECT_EQ(config_.server().listen_address(), "[::]:9000");
  EXPECT_EQ(config_.server().tls().mode(), TlsConfig::OFF);
  EXPECT_EQ(config_.store().flush_mode(), StoreConfig::SYNC_FLUSH);
  EXPECT_EQ(config_.store().segment_size_bytes(), uint64_t{1} << 31);
  EXPECT_TRUE(config_.broker().auto_create_topics());
  EXPECT_THAT(config_.broker().retry_backoff_seconds(), ElementsAre(1, 2, 3));
  EXPECT_EQ(origins_.Of("store.flush_mode"), file_ + ":8");
}

TEST_F(ConfigTest, RefusesUnknownKeysAndNamesTheNearest) {
  ExpectRefused("store:\n  flush_mod: SYNC_FLUSH\n", "2:3",
                "there is no setting \"store.flush_mod\"; did you mean \"store.flush_mode\"?");
  ExpectRefused("flush_mode: SYNC_FLUSH\n", "1:1", "did you mean \"store.flush_mode\"?");
  ExpectRefused("zebra: 1\n", "1:1", "there is no setting \"zebra\"");
  ExpectRefused(std::string(500, 'x') + ": 1\n", "1:1", "there is no setting");
}

TEST_F(ConfigTest, RefusesValuesOutsideTheSchema) {
  ExpectRefused("log: { level: LOUD }\n", "1:15",
                "expected DEBUG, INFO, WARNING or ERROR, got \"LOUD\"");
  ExpectRefused("store:\n  flush_interval_ms: 0\n", "2:22", "expected integer from 1 to 60000");
  ExpectRefused("store:\n  flush_interval_ms: 60001\n", "2:22", "from 1 to 60000");
  ExpectRefused("store:\n  flush_interval_ms: 1s\n", "2:22", "got \"1s\"");
  ExpectRefused("store:\n  flush_interval_ms: -1\n", "2:22", "got \"-1\"");
  ExpectRefused("store:\n  flush_interval_ms: [1]\n", "2:3", "expected integer");
  ExpectRefused("store:\n  flush_interval_ms:\n", "2:3", "expected integer");
  ExpectRefused("store:\n  retention: { max_bytes: 99999999999999999999 }\n", "2:27", "integer");
  ExpectRefused("store: 1\n", "1:1", "expected a map of settings");
  ExpectRefused("- store\n", "1:1", "expected a map of settings");
  ExpectRefused("broker:\n  auto_create_topics: yes\n", "2:23", "expected true or false");
  ExpectRefused("broker:\n  broker_name: a/b\n", "2:16", "letters, digits");
  ExpectRefused("broker:\n  retry_backoff_seconds: [1, x]\n", "2:30", "list of integers");
  ExpectRefused("broker:\n  retry_backoff_seconds: []\n", "2:3", "list of integers");
  ExpectRefused("server: { listen_address: 8081 }\n", "1:27", "expected host:port");
  ExpectRefused("data_dir: ''\n", "1:11", "not empty");
}

TEST_F(ConfigTest, AnAddressMayBeEmptyWhereItsRuleSaysSo) {
  EXPECT_OK(LoadText("metrics: { listen_address: '' }\n"));
  ExpectRefused("server: { listen_address: '' }\n", "1:27", "expected host:port, got");
}

TEST_F(ConfigTest, ChecksFieldsAgainstEachOther) {
  EXPECT_THAT(LoadText("store: { retention: { disk_high_watermark_percent: 96 } }\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::AllOf(HasSubstr("disk_high_watermark_percent = 96"),
                                        HasSubstr("disk_full_percent = 95 (default)"))));
  EXPECT_THAT(LoadText("server: { tls: { certificate_file: a.pem } }\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("must be set together")));
  EXPECT_OK(LoadText("server: { tls: { certificate_file: a.pem, private_key_file: b.pem } }\n"));
}

TEST_F(ConfigTest, LaterSourcesWin) {
  sources_.environment = {"DUNLIN_LOG__LEVEL=DEBUG",
                          "DUNLIN_DATA_DIR=/env",
                          "DUNLIN_BROKER__RETRY_BACKOFF_SECONDS=4,5",
                          "PATH=/bin",
                          "DUNLIN_BROKER_PORT_8081_TCP=tcp://10.0.0.1:8081",
                          "DUNLIN_SERVICE_HOST=10.0.0.1"};
  sources_.overrides = {"data_dir=/set=1", "server.listen_address=[::1]:1"};
  ASSERT_OK(LoadText("log: { level: ERROR }\ndata_dir: /file\nbroker: { broker_name: b }\n"));
  EXPECT_EQ(config_.log().level(), config::v1::LogConfig::DEBUG);
  EXPECT_EQ(config_.data_dir(), "/set=1");
  EXPECT_EQ(config_.server().listen_address(), "[::1]:1");
  EXPECT_THAT(config_.broker().retry_backoff_seconds(), ElementsAre(4, 5));
  EXPECT_EQ(origins_.Of("log.level"), "DUNLIN_LOG__LEVEL");
  EXPECT_EQ(origins_.Of("data_dir"), "--set");
  EXPECT_EQ(origins_.Of("broker.broker_name"), file_ + ":3");
}

TEST_F(ConfigTest, RefusesBadEnvironmentAndOverrides) {
  const auto refused = [&](const std::string& variable, const std::string& assignment) {
    sources_ = {};
    if (!variable.empty()) sources_.environment = {variable};
    if (!assignment.empty()) sources_.overrides = {assignment};
    config_.Clear();
    const absl::Status status = Load();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(refused("DUNLIN_LOG__LEVL=DEBUG", ""),
              StartsWith("DUNLIN_LOG__LEVL: there is no setting \"log.levl\"; did you mean"));
  EXPECT_THAT(refused("DUNLIN_LOG__LEVEL=LOUD", ""), StartsWith("DUNLIN_LOG__LEVEL: level: "));
  EXPECT_THAT(refused("", "log.level"), HasSubstr("expected name=value"));
  EXPECT_THAT(refused("", "log=DEBUG"), StartsWith("--set log: there is no setting"));
  EXPECT_THAT(refused("", "log.level.x=DEBUG"), StartsWith("--set log.level.x: "));
  EXPECT_THAT(refused("", "broker.retry_backoff_seconds=1,,2"), HasSubstr("list of integers"));
  EXPECT_THAT(refused("", "=1"), StartsWith("--set : "));
}

TEST_F(ConfigTest, SaysWhichFileCannotBeRead) {
  sources_.file = dir_.path() + "/missing.yaml";
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("missing.yaml")));
  sources_.file = dir_.path();
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kInvalidArgument, EndsWith("is a directory")));
}

TEST_F(ConfigTest, PrintsWhatItWouldReadAgain) {
  sources_.overrides = {"data_dir=/a dir/\"x\"\t#", "server.listen_address=[::]:1",
                        "broker.retry_backoff_seconds=7"};
  ASSERT_OK(LoadText("log:\n  level: ERROR\n"));
  const DunlinConfig first = config_;
  const std::string printed = PrintConfig(config_, origins_);
  EXPECT_THAT(printed, HasSubstr("  level: ERROR  # " + file_ + ":2\n"));
  EXPECT_THAT(printed, HasSubstr("  listen_address: \"[::]:1\"  # --set\n"));
  EXPECT_THAT(printed, HasSubstr("    mode: BOTH  # default\n"));
  sources_.overrides.clear();
  ASSERT_OK(LoadText(printed));
  EXPECT_EQ(PrintConfig(config_, ConfigOrigins()), PrintConfig(first, ConfigOrigins()));
}

// The schema itself: a default outside its own limits, or a rule that names no field, would only
// show on the machine of whoever meets it.
void CheckSchema(const Descriptor& type) {
  const google::protobuf::Message& prototype =
      *google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type);
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    SCOPED_TRACE(field.full_name());
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      ASSERT_FALSE(field.is_repeated());
      FillSectionDefaults(*std::unique_ptr<google::protobuf::Message>(prototype.New()), field);
      CheckSchema(*field.message_type());
      continue;
    }
    const std::unique_ptr<google::protobuf::Message> message(prototype.New());
    const Rule& rule = field.options().GetExtension(config::v1::rule);
    if (field.is_repeated() && field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) continue;
    if (field.is_repeated()) {
      ASSERT_GT(rule.default_values_size(), 0);
      for (const uint64_t value : rule.default_values()) {
        EXPECT_OK(AddToField(*message, field, std::to_string(value)));
      }
      continue;
    }
    ASSERT_TRUE(field.has_default_value());
    std::string text = PrintField(*message, field);
    if (text == "\"\"") text.clear();
    EXPECT_OK(SetField(*message, field, text));
    if (rule.has_at_most_field()) {
      const FieldDescriptor* limit = type.FindFieldByName(rule.at_most_field());
      ASSERT_NE(limit, nullptr);
      EXPECT_EQ(field.cpp_type(), FieldDescriptor::CPPTYPE_UINT32);
      EXPECT_EQ(limit->cpp_type(), FieldDescriptor::CPPTYPE_UINT32);
    }
    if (rule.has_together_with_field()) {
      const FieldDescriptor* other = type.FindFieldByName(rule.together_with_field());
      ASSERT_NE(other, nullptr);
      EXPECT_EQ(other->cpp_type(), FieldDescriptor::CPPTYPE_STRING);
    }
  }
}

TEST(ConfigSchemaTest, KeepsItsOwnRules) {
  CheckSchema(*DunlinConfig::descriptor());
  CheckSchema(*config::v1::NameServiceConfig::descriptor());
}

TEST(ConfigSchemaTest, ASectionMayHaveDefaultsOfItsOwn) {
  config::v1::NameServiceConfig config;
  ASSERT_OK(LoadConfig(
      {.file = "", .environment = {}, .overrides = {"metrics.listen_address=127.0.0.1:1"}},
      config));
  EXPECT_EQ(config.server().listen_address(), "0.0.0.0:9876");
  EXPECT_EQ(config.metrics().listen_address(), "127.0.0.1:1");
  EXPECT_EQ(config.server().shutdown_grace_ms(), 5'000u);
}

TEST(ConfigSchemaTest, AListOfAddressesMayBeEmptyAndItsElementsMayNot) {
  DunlinConfig config;
  const auto load = [&config](const std::string& value) {
    config.Clear();
    return LoadConfig(
        {.file = "", .environment = {}, .overrides = {"broker.name_services=" + value}}, config);
  };
  EXPECT_OK(load("a:1, b:2"));
  ASSERT_EQ(config.broker().name_services_size(), 2);
  EXPECT_EQ(config.broker().name_services(1), "b:2");
  EXPECT_OK(load(""));
  EXPECT_EQ(config.broker().name_services_size(), 0);
  EXPECT_THAT(load("a:1,"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host:port")));
  EXPECT_THAT(load("a"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host:port")));
}

// A valid file with random bytes changed: either it loads, or the message says where.
TEST_F(ConfigTest, SurvivesMutatedFiles) {
  ASSERT_OK(Load());
  const std::string valid = PrintConfig(config_, origins_);
  std::mt19937 random(815);  // NOLINT: the same files on every run
  for (int round = 0; round < 500; ++round) {
    std::string text = valid;
    for (int change = 0; change < 3; ++change) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    const absl::Status status = LoadText(text);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_FALSE(status.message().empty());
    }
  }
}

}  // namespace
}  // namespace dunlin
