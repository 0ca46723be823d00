// What access control adds to a call: who signed it, and whether that user may do what it asks for.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "services/base/check.h"
#include "services/base/mutex.h"
#include "services/base/request_signature.h"
#include "services/base/strings.h"
#include "services/base/testing/measure.h"
#include "services/broker/access/access_control.h"
#include "services/broker/access/permit.h"

namespace dunlin::broker {
namespace {

constexpr char kTime[] = "20260102T030405Z";
constexpr char kPeer[] = "ipv4:10.1.2.3:4711";

// As the table has them: behind a lock.
class ManyUsers final : public UserSource {
 public:
  explicit ManyUsers(int users, int rules) {
    for (int i = 0; i < users; ++i) {
      auto user = std::make_shared<User>();
      user->name = "user-" + std::to_string(i);
      user->secret = "secret-of-user-" + std::to_string(i);
      for (int rule = 0; rule < rules; ++rule) {
        AccessRule& added = user->rules.emplace_back();
        added.name = "topic-" + std::to_string(rule);
        added.actions = BitOf(Action::kPub);
      }
      CHECK(CheckUser(*user).ok());
      users_[user->name] = std::move(user);
    }
  }
  std::shared_ptr<const User> Find(std::string_view name) const override {
    MutexLock lock(mutex_);
    const auto found = users_.find(name);
    return found == users_.end() ? nullptr : found->second;
  }
  uint64_t version() const override { return 1; }

 private:
  mutable Mutex mutex_;
  StringMap<std::shared_ptr<const User>> users_ ABSL_GUARDED_BY(mutex_);
};

// One of 10,000 users; of its rules the last one allows it.
void IdentifyAndCheck(benchmark::State& state) {
  const int rules = static_cast<int>(state.range(0));
  const ManyUsers users(10'000, rules);
  const AccessControl access(users, nullptr);
  const std::string header = Authorization({"user-77", "secret-of-user-77"}, kTime);
  const std::string topic = "topic-" + std::to_string(rules - 1);
  Measure(state, 1024, [&] {
    const Caller caller = access.Identify({header, kTime, kPeer});
    CHECK(access.Check(caller, TopicNeed(BitOf(Action::kPub), "", topic)).ok());
  });
}
BENCHMARK(IdentifyAndCheck)->Arg(1)->Arg(16)->Arg(128);

// A stream asks at each frame.
void CheckPermit(benchmark::State& state) {
  const ManyUsers users(1, 1);
  const AccessControl access(users, nullptr);
  const std::string header = Authorization({"user-0", "secret-of-user-0"}, kTime);
  Permit permit(access, access.Identify({header, kTime, kPeer}));
  permit.Add(TopicNeed(BitOf(Action::kPub), "", "topic-0"));
  Measure(state, 1024, [&] { CHECK(permit.Check().ok()); });
}
BENCHMARK(CheckPermit);

}  // namespace
}  // namespace dunlin::broker

BENCHMARK_MAIN();
