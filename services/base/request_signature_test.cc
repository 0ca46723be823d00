#include "services/base/request_signature.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace dunlin {
namespace {

using std::chrono::system_clock;

Credentials Alice() { return {"alice", "secret-of-alice"}; }
constexpr char kTime[] = "20260102T030405Z";
// printf %s 20260102T030405Z | openssl dgst -sha1 -hmac secret-of-alice
constexpr char kSignature[] = "c401b9098d04f04ca2471cdc8147d62d3a53b039";

TEST(RequestSignatureTest, TimeIsUtcToTheSecond) {
  EXPECT_EQ(SignedDateTime(system_clock::from_time_t(1767323045)), kTime);
}

TEST(RequestSignatureTest, SignsAsOpensslDoes) {
  EXPECT_EQ(Authorization(Alice(), kTime),
            std::string("MQv2-HMAC-SHA1 Credential=alice, SignedHeaders=x-mq-date-time, "
                        "Signature=") +
                kSignature);
}

TEST(RequestSignatureTest, WhatIsSignedIsRecognised) {
  const std::string header = Authorization(Alice(), kTime);
  const auto claim = ParseAuthorization(header);
  ASSERT_TRUE(claim.has_value());
  EXPECT_EQ(claim->access_key, "alice");
  EXPECT_TRUE(IsSignature(claim->signature, kTime, Alice().secret_key));
  EXPECT_FALSE(IsSignature(claim->signature, "20260102T030406Z", Alice().secret_key));
  EXPECT_FALSE(IsSignature(claim->signature, kTime, "secret-of-bob"));
}

TEST(RequestSignatureTest, BothHeadersAreAddedOrNone) {
  struct {
    std::string headers;
    void AddMetadata(const std::string& key, const std::string& value) {
      headers += key + ": " + value + "\n";
    }
  } context;
  Sign({}, system_clock::from_time_t(1767323045), context);
  EXPECT_EQ(context.headers, "");
  Sign(Alice(), system_clock::from_time_t(1767323045), context);
  EXPECT_EQ(context.headers, std::string("x-mq-date-time: ") + kTime +
                                 "\nauthorization: " + Authorization(Alice(), kTime) + "\n");
}

TEST(RequestSignatureTest, WhatCannotStandInAHeaderIsTold) {
  EXPECT_EQ(ProblemOf(Alice()), "");
  EXPECT_EQ(ProblemOf({"", "secret"}), "the access key is empty");
  EXPECT_EQ(ProblemOf({"alice", ""}), "the secret key is empty");
  for (const char* name : {"a b", "a\n", "gr\xc3\xbc", "a,b", "a=b", "a/b", "\x7f"}) {
    EXPECT_NE(ProblemOf({name, "secret"}), "") << name;
  }
}

TEST(RequestSignatureTest, CaseOfDigitsIsNothing) {
  std::string upper = kSignature;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_TRUE(IsSignature(upper, kTime, Alice().secret_key));
}

TEST(RequestSignatureTest, WhatSdksAddToTheKeyIsLeftOut) {
  const auto claim = ParseAuthorization(
      "MQv2-HMAC-SHA1 Credential=alice//Rocketmq, SignedHeaders=x-mq-date-time,Signature=ab");
  ASSERT_TRUE(claim.has_value());
  EXPECT_EQ(claim->access_key, "alice");
  EXPECT_EQ(claim->signature, "ab");
}

TEST(RequestSignatureTest, EmptyKeysAreTold) {
  const auto claim =
      ParseAuthorization("MQv2-HMAC-SHA1 Credential=, SignedHeaders=x-mq-date-time, Signature=");
  ASSERT_TRUE(claim.has_value());
  EXPECT_EQ(claim->access_key, "");
  EXPECT_EQ(claim->signature, "");
}

TEST(RequestSignatureTest, OtherHeadersAreNone) {
  for (const char* value : {"", "Bearer token", "MQv2-HMAC-SHA1", "MQv2-HMAC-SHA1 nonsense",
                            "MQv2-HMAC-SHA256 Credential=a, Signature=b", "Credential=a"}) {
    EXPECT_FALSE(ParseAuthorization(value).has_value()) << value;
  }
}

TEST(RequestSignatureTest, SignaturesOfAnotherShapeAreWrong) {
  const std::string good = kSignature;
  for (const std::string& value :
       {std::string(), good.substr(1), good + "00", "g" + good.substr(1), std::string(40, ' ')}) {
    EXPECT_FALSE(IsSignature(value, kTime, Alice().secret_key)) << value;
  }
}

TEST(RequestSignatureTest, FingerprintsTellSecretsApart) {
  const std::string one = SecretFingerprint(Alice());
  EXPECT_EQ(one.size(), 16u);
  EXPECT_EQ(one, SecretFingerprint(Alice()));
  EXPECT_NE(one, SecretFingerprint({"alice", "another one"}));
  EXPECT_NE(one, SecretFingerprint({"bob", Alice().secret_key}));
}

}  // namespace
}  // namespace dunlin
