#include "services/broker/delivery/lite_delivery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string_view>

#include "services/base/strong_int.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/delivery/dead_letters.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/lite/lite_subscriptions.h"
#include "services/broker/lite/lite_table.h"
#include "services/broker/progress/progress.h"
#include "services/broker/progress/testing/saved_rows.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/trace/message_trace.h"
#include "services/runtime/executor.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// A topic whose lightweight topics live for ten minutes, and a group for it.
class LiteDeliveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.Open();
    auto topics = TopicTable::Load(rig_.log(), rig_.dispatcher(), rig_.state(), rig_.clock(), {});
    ASSERT_OK(topics);
    topics_ = *std::move(topics);
    TopicTable::TopicSpec spec;
    spec.name = "parent";
    spec.queues = 1;
    spec.kinds = kLiteKinds;
    spec.lite_expiration = minutes(10);
    auto parent = topics_->CreateTopic(spec);
    ASSERT_OK(parent);
    parent_ = *parent;
    Group group;
    group.name = "group";
    group.retry_delays = {seconds(1)};
    group.lite_bind_topic = "parent";
    auto created = topics_->CreateGroup(group);
    ASSERT_OK(created);
    group_ = *created;
    letters_ =
        std::make_unique<DeadLetters>(*topics_, rig_.dispatcher(), progress_, trace_, executor_);
    taker_ = std::make_unique<Taker>(rig_.log(), rig_.dispatcher(), progress_, *letters_);
    auto table = LiteTable::Load(rig_.dispatcher(), rig_.state(), *topics_, rig_.clock(), {});
    ASSERT_OK(table);
    table_ = *std::move(table);
    delivery_ = std::make_unique<LiteDelivery>(
        LiteDelivery::Rooms{rig_.log(), rig_.dispatcher(), *topics_, progress_, *taker_, *table_,
                            subscriptions_, rig_.clock()});
  }

  // One message; the first makes the lightweight topic.
  void Send(std::string_view name) {
    auto pin = table_->FindOrMake(*parent_, name);
    ASSERT_OK(pin);
    if (!(*pin)->announced) rig_.PutLiteTopic((*pin)->queue, (*pin)->name);
    rig_.Send((*pin)->queue);
    table_->Announced(**pin, parent_->lite_expiration);
    rig_.Settle();
  }
  bool Exists(std::string_view name) { return static_cast<bool>(table_->Find(parent_->id, name)); }

  store::StoreRig rig_;
  SavedRows rows_;
  Progress progress_{ProgressOptions(), rows_, rig_.clock()};
  std::unique_ptr<TopicTable> topics_;
  std::shared_ptr<const Topic> parent_;
  std::shared_ptr<const Group> group_;
  MessageTrace trace_{100, rig_.clock()};
  std::unique_ptr<DeadLetters> letters_;
  std::unique_ptr<Taker> taker_;
  std::unique_ptr<LiteTable> table_;
  LiteSubscriptions subscriptions_{LiteSubscriptions::Limits()};
  std::unique_ptr<LiteDelivery> delivery_;
  Executor executor_{"letters", 2};  // goes first: its tasks use the others
};

TEST_F(LiteDeliveryTest, WhereAGroupLagsIsLookedAtAgainTenMinutesLater) {
  LiteSubscriptions::Change change;
  change.parent = parent_->id;
  change.group = group_->id;
  change.client_id = "client";
  change.names = {"a"};
  Send("a");
  ASSERT_OK(delivery_->Subscribe(change, {}));
  rig_.clock().Advance(minutes(11));
  delivery_->Step();
  EXPECT_TRUE(Exists("a"));
  subscriptions_.DropClient("client");
  rig_.clock().Advance(minutes(5));
  delivery_->Step();
  EXPECT_TRUE(Exists("a"));
  rig_.clock().Advance(minutes(6));
  delivery_->Step();
  EXPECT_FALSE(Exists("a"));
}

TEST_F(LiteDeliveryTest, WhoseProgressCannotBeReadStays) {
  Send("a");
  rig_.clock().Advance(minutes(11));
  rows_.Break();
  delivery_->Step();
  EXPECT_TRUE(Exists("a"));
}

}  // namespace
}  // namespace dunlin::broker
