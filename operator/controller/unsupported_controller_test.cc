#include "operator/controller/unsupported_controller.h"

#include <gmock/gmock.h>

#include "operator/controller/testing/fake_api_server.h"
#include "operator/k8s/conditions.h"
#include "operator/k8s/testing/fake_loop.h"
#include "operator/planner/resource_types.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(UnsupportedControllerTest, SaysSoOnce) {
  const ManualClock clock;
  k8s::FakeLoop loop;
  FakeApiServer server;
  k8s::Client client(server, loop);
  k8s::EventRecorder events(client, loop, {"dunlin.dev/operator", "test"});
  Caches caches({});
  caches.Watch(UserType(), "");
  const Writer writer(client, events, [] { return true; });
  UnsupportedController controller(UserType(), "use something else", caches, writer, clock);
  const k8s::ObjectKey key{"shop", "me"};
  server.Put(UserType(), k8s::NewObject(UserType(), key));
  server.Tell(caches, {UserType()});

  ASSERT_OK(controller.Reconcile(key));
  EXPECT_THAT(server.TakeCalls(), ElementsAre("PATCH users/me/status"));
  const Json user = server.Get(UserType(), key);
  const Json* const ready = k8s::FindCondition(user["status"]["conditions"], "Ready");
  ASSERT_NE(ready, nullptr);
  EXPECT_EQ(k8s::StringAt(*ready, {"reason"}), "NotSupported");
  EXPECT_EQ(k8s::StringAt(*ready, {"message"}), "use something else");

  server.Tell(caches, {UserType()});
  ASSERT_OK(controller.Reconcile(key));
  EXPECT_THAT(server.TakeCalls(), IsEmpty());
}

}  // namespace
}  // namespace dunlin::op
