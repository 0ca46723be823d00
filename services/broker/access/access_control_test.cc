#include "services/broker/access/access_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "services/base/request_signature.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/access/permit.h"
#include "services/broker/access/super_user_file.h"

namespace dunlin::broker {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;

constexpr char kTime[] = "20260102T030405Z";
constexpr char kPeer[] = "ipv4:10.1.2.3:4711";

class FewUsers final : public UserSource {
 public:
  void Put(const User& user) {
    users_[user.name] = std::make_shared<const User>(user);
    ++version_;
  }
  void Remove(const std::string& name) {
    users_.erase(name);
    ++version_;
  }
  std::shared_ptr<const User> Find(std::string_view name) const override {
    const auto found = users_.find(std::string(name));
    return found == users_.end() ? nullptr : found->second;
  }
  uint64_t version() const override { return version_; }

 private:
  std::map<std::string, std::shared_ptr<const User>> users_;
  uint64_t version_ = 1;
};

User Alice() {
  User user;
  user.name = "alice";
  user.secret = "secret-of-alice";
  AccessRule rule;
  rule.name = "orders";
  rule.actions = BitOf(Action::kPub);
  user.rules.push_back(rule);
  return user;
}

Need SendOrders() { return TopicNeed(BitOf(Action::kPub), "", "orders"); }

class AccessControlTest : public ::testing::Test {
 protected:
  AccessControlTest() { users_.Put(Alice()); }

  Caller Sign(const std::string& name, const std::string& secret) const {
    const std::string header = Authorization({name, secret}, kTime);
    return access_.Identify({header, kTime, kPeer});
  }

  FewUsers users_;
  const AccessControl access_{users_, nullptr};
};

TEST_F(AccessControlTest, WithoutItEverybodyMayDoEverything) {
  const AccessControl off;
  EXPECT_FALSE(off.enabled());
  const Caller caller = off.Identify({});
  EXPECT_OK(caller.status);
  EXPECT_OK(off.Check(caller, SendOrders()));
  EXPECT_OK(off.Check(Caller(), {.super = true}));
}

TEST_F(AccessControlTest, WhoSignsIsKnown) {
  const Caller caller = Sign("alice", "secret-of-alice");
  ASSERT_OK(caller.status);
  EXPECT_EQ(caller.user->name, "alice");
  EXPECT_OK(access_.Check(caller, SendOrders()));
  EXPECT_THAT(access_.Check(caller, TopicNeed(BitOf(Action::kSub), "", "orders")),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("SUB on topic orders")));
  EXPECT_THAT(access_.Check(caller, {.super = true}),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("SUPER_USER")));
}

TEST_F(AccessControlTest, StrangersAreToldWhatIsWrong) {
  const auto status = [&](std::string_view authorization, std::string_view time) {
    return access_.Identify({authorization, time, kPeer}).status;
  };
  EXPECT_THAT(status("", ""), StatusIs(StatusCode::kUnauthenticated, HasSubstr("not signed")));
  EXPECT_THAT(status("Bearer x", kTime),
              StatusIs(StatusCode::kUnauthenticated, HasSubstr("MQv2-HMAC-SHA1")));
  EXPECT_THAT(status(Authorization({"", ""}, kTime), kTime),
              StatusIs(StatusCode::kUnauthenticated, HasSubstr("not signed")));
  EXPECT_THAT(status(Authorization({"eve", "secret-of-eve"}, kTime), kTime),
              StatusIs(StatusCode::kUnauthenticated, HasSubstr("not one of user \"eve\"")));
  EXPECT_THAT(status(Authorization({"alice", "guessed-secret"}, kTime), kTime),
              StatusIs(StatusCode::kUnauthenticated, HasSubstr("not one of user \"alice\"")));
  // Both alike, but for the name.
  std::string of_eve(status(Authorization({"eve", "secret-of-eve"}, kTime), kTime).message());
  of_eve.replace(of_eve.find("eve"), 3, "alice");
  EXPECT_EQ(of_eve,
            std::string(status(Authorization({"alice", "guessed"}, kTime), kTime).message()));
  const std::string signed_then = Authorization({"alice", "secret-of-alice"}, kTime);
  EXPECT_THAT(status(signed_then, "20260102T030406Z"), StatusIs(StatusCode::kUnauthenticated));
  EXPECT_THAT(status(signed_then, ""), StatusIs(StatusCode::kUnauthenticated));
  EXPECT_OK(status(signed_then, kTime));
}

TEST_F(AccessControlTest, WhoIsRefusedIsToldWhetherARuleDeniesIt) {
  const Caller caller = Sign("alice", "secret-of-alice");
  EXPECT_THAT(access_.Check(caller, TopicNeed(BitOf(Action::kPub), "", "other")),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("no rule allows it")));
  User alice = Alice();
  AccessRule denial = alice.rules[0];
  // It is not for want of this one that nobody may read.
  denial.actions = BitOf(Action::kAll);
  denial.deny = true;
  alice.rules.push_back(denial);
  users_.Put(alice);
  EXPECT_THAT(access_.Check(caller, TopicNeed(BitOf(Action::kSub), "", "orders")),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("no rule allows it")));
  EXPECT_THAT(access_.Check(caller, SendOrders()),
              StatusIs(StatusCode::kPermissionDenied,
                       HasSubstr(::testing::PrintToString(alice.rules.size()) + " denies it")));
  EXPECT_FALSE(access_.IsDenied(caller, SendOrders())) << "as it was when it called";
  EXPECT_TRUE(access_.IsDenied(Sign("alice", "secret-of-alice"), SendOrders()));
  EXPECT_FALSE(AccessControl().IsDenied(Caller(), SendOrders()));
}

TEST_F(AccessControlTest, WhoCallsIsLookedAtWithoutWhatItWants) {
  const Caller caller = Sign("alice", "secret-of-alice");
  EXPECT_OK(access_.CheckIdentity(caller));
  EXPECT_OK(AccessControl().CheckIdentity(Caller()));
  User alice = Alice();
  alice.enabled = false;
  users_.Put(alice);
  EXPECT_THAT(access_.CheckIdentity(caller), StatusIs(StatusCode::kUnauthenticated));
}

TEST_F(AccessControlTest, WhoWasNotLookedAtIsNobody) {
  EXPECT_THAT(access_.Check(Caller(), SendOrders()), StatusIs(StatusCode::kUnauthenticated));
  Caller careless;
  careless.status = absl::OkStatus();
  EXPECT_THAT(access_.Check(careless, SendOrders()), StatusIs(StatusCode::kUnauthenticated));
}

TEST_F(AccessControlTest, AUserThatIsDisabledIsRefused) {
  User alice = Alice();
  alice.enabled = false;
  users_.Put(alice);
  EXPECT_THAT(Sign("alice", "secret-of-alice").status,
              StatusIs(StatusCode::kUnauthenticated, HasSubstr("disabled")));
  // Whoever does not know the secret is not told.
  EXPECT_THAT(Sign("alice", "guessed-secret").status,
              StatusIs(StatusCode::kUnauthenticated, HasSubstr("signature")));
}

TEST_F(AccessControlTest, ChangesCountForCallersThatAreKnown) {
  const Caller caller = Sign("alice", "secret-of-alice");
  Permit permit(access_, caller);
  permit.Add(SendOrders());
  EXPECT_OK(permit.Check());
  User other = Alice();
  other.name = "bob";
  users_.Put(other);
  EXPECT_OK(permit.Check());

  User changed = Alice();
  changed.rules.clear();
  users_.Put(changed);
  EXPECT_THAT(permit.Check(), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_THAT(permit.Check(), StatusIs(StatusCode::kPermissionDenied));
  changed = Alice();
  changed.secret = "another-secret";
  users_.Put(changed);
  EXPECT_THAT(permit.Check(), StatusIs(StatusCode::kUnauthenticated));
  changed = Alice();
  changed.enabled = false;
  users_.Put(changed);
  EXPECT_THAT(permit.Check(), StatusIs(StatusCode::kUnauthenticated));
  users_.Put(Alice());
  EXPECT_OK(permit.Check());
  users_.Remove("alice");
  EXPECT_THAT(permit.Check(), StatusIs(StatusCode::kUnauthenticated));
}

TEST_F(AccessControlTest, RefusalsAreCountedByReason) {
  const auto count = [](AccessControl::Refusal reason) { return AccessControl::refusals(reason); };
  const uint64_t anonymous = count(AccessControl::Refusal::kAnonymous);
  const uint64_t signature = count(AccessControl::Refusal::kSignature);
  const uint64_t not_allowed = count(AccessControl::Refusal::kNotAllowed);
  EXPECT_FALSE(access_.Identify({}).status.ok());
  EXPECT_FALSE(Sign("alice", "guessed-secret").status.ok());
  EXPECT_FALSE(access_.Check(Sign("alice", "secret-of-alice"), {.super = true}).ok());
  EXPECT_EQ(count(AccessControl::Refusal::kAnonymous), anonymous + 1);
  EXPECT_EQ(count(AccessControl::Refusal::kSignature), signature + 1);
  EXPECT_EQ(count(AccessControl::Refusal::kNotAllowed), not_allowed + 1);
}

class SuperUserFileTest : public AccessControlTest {
 protected:
  std::string Write(const std::string& text) const {
    const std::string path = directory_.path() + "/secret";
    // Whole or not at all, as Kubernetes changes a mounted Secret.
    std::ofstream(path + ".new") << text;
    EXPECT_EQ(rename((path + ".new").c_str(), path.c_str()), 0);
    return path;
  }

  TempDir directory_;
};

TEST_F(SuperUserFileTest, ItsUserMayDoEverything) {
  auto file = SuperUserFile::Open(RealFiles(), "admin", Write("secret-of-admin\n"));
  ASSERT_OK(file);
  const AccessControl access(users_, std::shared_ptr<const UserSource>(*std::move(file)));
  const std::string header = Authorization({"admin", "secret-of-admin"}, kTime);
  const Caller admin = access.Identify({header, kTime, kPeer});
  ASSERT_OK(admin.status);
  EXPECT_OK(access.Check(admin, {.super = true}));
  EXPECT_THAT(access.CheckNotOfFile("admin"),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("access.super_user")));
  EXPECT_OK(access.CheckNotOfFile("bob"));
}

TEST_F(SuperUserFileTest, AChangedFileIsPickedUp) {
  auto file = SuperUserFile::Open(RealFiles(), "admin", Write("secret-of-admin"));
  ASSERT_OK(file);
  const uint64_t before = (*file)->version();
  Write("short");  // is none: the old one stays
  Write("another-secret");
  while ((*file)->version() == before) std::this_thread::yield();
  EXPECT_EQ((*file)->Find("admin")->secret, "another-secret");
  EXPECT_EQ((*file)->Find("alice"), nullptr);
}

TEST_F(SuperUserFileTest, AFileThatCannotBeUsedIsAnError) {
  EXPECT_THAT(SuperUserFile::Open(RealFiles(), "admin", directory_.path() + "/none"),
              StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(SuperUserFile::Open(RealFiles(), "admin", Write("short")),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("secret has 5 bytes")));
  EXPECT_THAT(SuperUserFile::Open(RealFiles(), "a/b", Write("secret-of-admin")),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("name of the user")));
}

}  // namespace
}  // namespace dunlin::broker
