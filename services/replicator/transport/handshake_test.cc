#include "services/replicator/transport/handshake.h"

#include <gtest/gtest.h>

#include <string>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/replicator/transport/credential.h"

namespace dunlin::replicator {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kSecret[] = "correct horse battery";

Identity Of(const std::string& member, const std::string& secret = kSecret) {
  Identity identity{.group = "g", .member = member, .others = {"a", "b", "c"}, .secret = {}};
  identity.others.erase(member);
  if (!secret.empty()) identity.secret = Secret(secret);
  return identity;
}

v1::Hello HelloOf(const SlaveHandshake& slave) {
  v1::Hello hello;
  slave.Sign(hello);
  hello.set_credit_bytes(kMinCreditBytes);
  return hello;
}

// What the whole handshake comes to.
absl::Status Shake(const Identity& master, const Identity& slave,
                   const std::string& expected_master = "a") {
  MasterHandshake master_side(master);
  const SlaveHandshake slave_side(slave, expected_master);
  const absl::StatusOr<v1::Challenge> challenge = master_side.OnHello(HelloOf(slave_side));
  if (!challenge.ok()) return challenge.status();
  const absl::StatusOr<v1::Proof> proof = slave_side.OnChallenge(*challenge);
  if (!proof.ok()) return proof.status();
  return master_side.OnProof(*proof);
}

TEST(HandshakeTest, MembersWithTheSameSecretMeet) {
  EXPECT_OK(Shake(Of("a"), Of("b")));
  EXPECT_OK(Shake(Of("a", ""), Of("b", "")));
}

TEST(HandshakeTest, RefusesAnotherGroup) {
  Identity other = Of("b");
  other.group = "h";
  EXPECT_THAT(Shake(Of("a"), other),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("group \"h\""), HasSubstr("group \"g\""))));
}

TEST(HandshakeTest, RefusesWhoIsNotInTheConfigurationByName) {
  EXPECT_THAT(Shake(Of("a"), Of("mallory")),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       AllOf(HasSubstr("\"mallory\""), HasSubstr("b, c"))));
  // A second one with the master's own name is a mistake of the configuration.
  EXPECT_THAT(Shake(Of("a"), Of("a")), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(HandshakeTest, WhatAStrangerSaysIsShortAndOneLineOfALog) {
  const absl::Status refused =
      Shake(Of("a"), Of("b\nall is well\x1b[2J" + std::string(1 << 20, 'b')));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied,
                                HasSubstr(R"("b\nall is well\x1b[2J)")));
  Identity other = Of("b");
  other.group = "\n" + std::string(1 << 20, 'g');
  const absl::Status elsewhere = Shake(Of("a"), other);
  EXPECT_THAT(elsewhere, StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("check broker.broker_name")));
  for (const absl::Status& status : {refused, elsewhere}) {
    EXPECT_LT(status.message().size(), 600u);
    EXPECT_EQ(status.message().find('\n'), std::string_view::npos);
  }
}

TEST(HandshakeTest, EachSideRefusesAnotherSecret) {
  EXPECT_THAT(Shake(Of("a"), Of("b", "another secret of b")),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("a has another secret")));
  EXPECT_THAT(Shake(Of("a", ""), Of("b")),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("a proves nothing")));
  EXPECT_THAT(Shake(Of("a"), Of("b", "")),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("b proves nothing")));
  // The master finds it out, too, when the slave does not care.
  const Identity master = Of("a");
  MasterHandshake kept(master);
  const Identity b = Of("b");
  const SlaveHandshake slave(b, "a");
  ASSERT_OK(kept.OnHello(HelloOf(slave)));
  v1::Proof forged;
  forged.set_proof(std::string(32, 'f'));
  EXPECT_THAT(kept.OnProof(forged), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(HandshakeTest, ThatAnotherMemberAnswersIsFound) {
  EXPECT_THAT(Shake(Of("c"), Of("b"), "a"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("address of a is \"c\"")));
}

TEST(HandshakeTest, AProofIsGoodOnce) {
  const Identity a = Of("a");
  const Identity b = Of("b");
  MasterHandshake first(a);
  const SlaveHandshake slave(b, "a");
  const absl::StatusOr<v1::Challenge> challenge = first.OnHello(HelloOf(slave));
  ASSERT_OK(challenge);
  const absl::StatusOr<v1::Proof> proof = slave.OnChallenge(*challenge);
  ASSERT_OK(proof);
  MasterHandshake second(a);
  ASSERT_OK(second.OnHello(HelloOf(slave)));
  EXPECT_THAT(second.OnProof(*proof), StatusIs(absl::StatusCode::kPermissionDenied));
  // Nor does the master's own proof come back as a slave's.
  v1::Proof reflected;
  reflected.set_proof(challenge->proof());
  EXPECT_THAT(first.OnProof(reflected), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(HandshakeTest, RefusesWhatBreaksTheContract) {
  const Identity a = Of("a");
  const Identity b = Of("b");
  MasterHandshake master(a);
  const SlaveHandshake slave(b, "a");
  v1::Hello hello = HelloOf(slave);
  hello.set_nonce("short");
  EXPECT_THAT(master.OnHello(hello), StatusIs(absl::StatusCode::kInvalidArgument));
  hello = HelloOf(slave);
  hello.set_credit_bytes(1000);
  EXPECT_THAT(master.OnHello(hello),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("65536")));
}

TEST(SecretTest, IsReadFromAFileWithoutTheSpaceAroundIt) {
  const TempDir dir;
  const std::string path = dir.path() + "/secret";
  ASSERT_OK(WriteFileDurably(RealFiles(), path, std::string(kSecret) + "\n"));
  const absl::StatusOr<Secret> secret = Secret::Load(RealFiles(), path);
  ASSERT_OK(secret);
  EXPECT_EQ(secret->Proof({"x"}), Secret(kSecret).Proof({"x"}));
  EXPECT_TRUE(Secret::Load(RealFiles(), "")->empty());
  ASSERT_OK(WriteFileDurably(RealFiles(), path, "short\n"));
  EXPECT_THAT(Secret::Load(RealFiles(), path),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("16 or more")));
  EXPECT_THAT(Secret::Load(RealFiles(), path + "2"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(SecretTest, FieldsDoNotRunIntoEachOther) {
  EXPECT_NE(Secret(kSecret).Proof({"ab", "c"}), Secret(kSecret).Proof({"a", "bc"}));
}

TEST(CredentialTest, IsGoodForOnePurposeAndAWhile) {
  const Secret secret(kSecret);
  ManualClock clock;
  const Purpose purpose{"Promise", "g", "b", "7"};
  const v1::Credential credential = MakeCredential(secret, "a", purpose, clock.Now());
  EXPECT_OK(CheckCredential(secret, credential, purpose, clock.Now()));
  EXPECT_OK(CheckCredential(Secret(), v1::Credential(), purpose, clock.Now()));
  for (const Purpose& other :
       {Purpose{"Switchover", "g", "b", "7"}, Purpose{"Promise", "h", "b", "7"},
        Purpose{"Promise", "g", "c", "7"}, Purpose{"Promise", "g", "b", "8"}}) {
    EXPECT_THAT(CheckCredential(secret, credential, other, clock.Now()),
                StatusIs(absl::StatusCode::kPermissionDenied));
  }
  EXPECT_THAT(CheckCredential(secret, v1::Credential(), purpose, clock.Now()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("replication.secret_file")));
  clock.Advance(std::chrono::minutes(6));
  EXPECT_THAT(CheckCredential(secret, credential, purpose, clock.Now()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("set the clocks")));
}

}  // namespace
}  // namespace dunlin::replicator
