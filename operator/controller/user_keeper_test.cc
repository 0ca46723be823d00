#include "operator/controller/user_keeper.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/strings/escaping.h"

#include "operator/controller/testing/fake_api_server.h"
#include "operator/controller/testing/stand_in_broker.h"
#include "operator/k8s/testing/fake_loop.h"
#include "operator/planner/resource_types.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class UserKeeperTest : public ::testing::Test {
 protected:
  UserKeeperTest() {
    caches_.Watch(SecretType(), "");
    user_ = k8s::NewObject(UserType(), {"shop", "billing"});
    user_["spec"] = Json::parse(R"({"permissions": [
        {"resource": {"type": "Topic", "name": "orders"}, "actions": ["Sub"]}]})");
    server_.Put(UserType(), user_);
    user_ = server_.Get(UserType(), k8s::KeyOf(user_));
  }

  void PutSecret(const std::string& access_key, const std::string& secret_key,
                 const std::string& name = "billing-credentials") {
    Json secret = k8s::NewObject(SecretType(), {"shop", name});
    secret["data"] = {{"accessKey", absl::Base64Escape(access_key)},
                      {"secretKey", absl::Base64Escape(secret_key)}};
    server_.Put(SecretType(), secret);
    server_.Tell(caches_, {SecretType()});
  }
  std::string MadeSecret() {
    std::string text;
    const Json secret = server_.Get(SecretType(), {"shop", "billing-credentials"});
    EXPECT_TRUE(absl::Base64Unescape(secret["data"]["secretKey"].get<std::string>(), &text));
    return text;
  }
  Obstacle Prepare() {
    const absl::StatusOr<Obstacle> obstacle = users_.Prepare(user_);
    EXPECT_OK(obstacle);
    return obstacle.value_or(Obstacle{});
  }
  BrokerAt At() const {
    return {.cluster = "DefaultCluster", .group = "a", .address = broker_.Address()};
  }

  k8s::FakeLoop loop_;
  FakeApiServer server_;
  k8s::Client client_{server_, loop_};
  k8s::EventRecorder events_{client_, loop_, {"dunlin.dev/operator", "test"}};
  Caches caches_{{}};
  bool leads_ = true;
  Writer writer_{client_, events_, [this] { return leads_; }};
  StandInBroker broker_{"a", "127.0.0.1:0"};
  BrokerAdmin admin_;
  UserKeeper users_{admin_, caches_, writer_, events_};
  Json user_;
};

TEST_F(UserKeeperTest, ASecretIsMadeWhenThereIsNone) {
  const Obstacle making = Prepare();
  EXPECT_EQ(making.reason, "MakingSecret");
  EXPECT_FALSE(making.stalled);
  const Json secret = server_.Get(SecretType(), {"shop", "billing-credentials"});
  EXPECT_EQ(k8s::StringAt(secret, {"type"}), "Opaque");
  EXPECT_EQ(k8s::ControllerUidOf(secret), k8s::UidOf(user_));
  EXPECT_THAT(MadeSecret(), SizeIs(32));
  server_.Tell(caches_, {SecretType()});
  EXPECT_EQ(Prepare().reason, "");
  // Of another one it is another.
  const std::string first = MadeSecret();
  server_.Remove(SecretType(), {"shop", "billing-credentials"});
  server_.Tell(caches_, {SecretType()});
  Prepare();
  EXPECT_NE(MadeSecret(), first);
}

TEST_F(UserKeeperTest, ASecretThatIsThereIsNeverChanged) {
  PutSecret("billing", "of-its-own");
  server_.TakeCalls();
  EXPECT_EQ(Prepare().reason, "");
  EXPECT_THAT(server_.TakeCalls(), IsEmpty());
  // Nor one that was not seen yet, or is of another type.
  caches_.StoreOf(SecretType(), "").Replace({});
  EXPECT_EQ(Prepare().reason, "SecretInvalid");
  EXPECT_EQ(MadeSecret(), "of-its-own");
}

TEST_F(UserKeeperTest, WhatIsWrongWithASecretIsSaid) {
  user_["spec"]["credentials"] = {{"secretName", "mine"}, {"generate", false}};
  Obstacle obstacle = Prepare();
  EXPECT_EQ(obstacle.reason, "SecretMissing");
  EXPECT_TRUE(obstacle.stalled);
  EXPECT_THAT(obstacle.message, HasSubstr("make it, with the keys accessKey (the name) and "
                                          "secretKey (the secret), or set credentials.generate"));
  PutSecret("billing", "", "mine");
  obstacle = Prepare();
  EXPECT_EQ(obstacle.reason, "SecretInvalid");
  EXPECT_THAT(obstacle.message, HasSubstr("Secret mine has no key secretKey"));
  PutSecret("other", "long-enough", "mine");
  EXPECT_THAT(Prepare().message,
              HasSubstr("accessKey of Secret mine is 'other', and the user is called 'billing'"));
  PutSecret("billing", "with-a-line-break\n", "mine");
  EXPECT_THAT(Prepare().message, HasSubstr("without a space or a line break"));
}

TEST_F(UserKeeperTest, TheSecretOfAFormerUserIsAboutToGo) {
  ASSERT_EQ(Prepare().reason, "MakingSecret");
  server_.Tell(caches_, {SecretType()});
  user_["metadata"]["uid"] = "another";
  const Obstacle obstacle = Prepare();
  EXPECT_EQ(obstacle.reason, "SecretGoes");
  EXPECT_FALSE(obstacle.stalled);
}

TEST_F(UserKeeperTest, WhoDoesNotLeadMakesNoSecret) {
  leads_ = false;
  EXPECT_THAT(users_.Prepare(user_), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(server_.TakeCalls(), IsEmpty());
}

TEST_F(UserKeeperTest, AUserFromItsBeginningToItsEnd) {
  PutSecret("billing", "secret-1");
  auto found = users_.Look(At(), user_);
  ASSERT_OK(found);
  EXPECT_FALSE(found->exists);
  found = users_.Create(At(), user_);
  ASSERT_OK(found);
  EXPECT_THAT(found->differences, IsEmpty());
  EXPECT_EQ(broker_.UserOf("billing")->secret(), "secret-1");

  // Another secret is found by its fingerprint, which costs one call.
  const int calls = broker_.Calls();
  PutSecret("billing", "secret-2");
  found = users_.Look(At(), user_);
  ASSERT_OK(found);
  EXPECT_THAT(found->differences, ElementsAre(StartsWith("secret: ")));
  EXPECT_EQ(broker_.Calls(), calls + 1);
  found = users_.Update(At(), user_);
  ASSERT_OK(found);
  EXPECT_THAT(found->differences, IsEmpty());
  EXPECT_EQ(broker_.UserOf("billing")->secret(), "secret-2");

  EXPECT_OK(users_.Delete(At(), user_));
  EXPECT_FALSE(broker_.UserOf("billing").has_value());
  EXPECT_OK(users_.Delete(At(), user_));  // it is gone
}

TEST_F(UserKeeperTest, CallsAreSignedWhereThereIsAccessControl) {
  PutSecret("billing", "secret-1");
  broker_.SetSuperUser({"admin", "of-the-admin"});
  BrokerAt at = At();
  EXPECT_THAT(users_.Look(at, user_), StatusIs(absl::StatusCode::kUnauthenticated));
  at.credentials = Credentials{"admin", "another"};
  EXPECT_THAT(users_.Look(at, user_), StatusIs(absl::StatusCode::kUnauthenticated));
  at.credentials = Credentials{"admin", "of-the-admin"};
  EXPECT_OK(users_.Look(at, user_));
  EXPECT_OK(users_.Create(at, user_));
}

TEST_F(UserKeeperTest, WithoutCredentialsNobodyIsAsked) {
  PutSecret("billing", "secret-1");
  BrokerAt at = At();
  at.credentials = absl::NotFoundError("there is no Secret root");
  EXPECT_THAT(users_.Look(at, user_),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("there is no Secret root")));
  EXPECT_THAT(users_.Delete(at, user_), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_EQ(broker_.Calls(), 0);
}

TEST_F(UserKeeperTest, RefusalsAreTheBrokersOwn) {
  PutSecret("billing", "secret-1");
  broker_.SetAnswer({grpc::StatusCode::INVALID_ARGUMENT, "user billing is the super user"});
  EXPECT_THAT(users_.Create(At(), user_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is the super user")));
}

TEST_F(UserKeeperTest, NothingIsChangedAtABrokerOfAnotherGroup) {
  PutSecret("billing", "secret-1");
  BrokerAt at = At();
  at.group = "b";
  EXPECT_THAT(users_.Create(at, user_), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(broker_.UserOf("billing").has_value());
}

}  // namespace
}  // namespace dunlin::op
