#include "services/broker/delivery/dead_letters.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/strong_int.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using std::chrono::seconds;

class DeadLettersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.Open();
    auto topics = TopicTable::Load(rig_.log(), rig_.dispatcher(), rig_.state(), rig_.clock(), {});
    ASSERT_OK(topics);
    topics_ = *std::move(topics);
    TopicTable::TopicSpec spec;
    spec.name = "topic";
    spec.queues = 1;
    spec.kinds = KindBit(1);
    auto topic = topics_->CreateTopic(spec);
    ASSERT_OK(topic);
    queue_ = {(*topic)->id, 0};
    Group group;
    group.name = "group";
    group.max_attempts = 1;
    group.retry_delays = {seconds(1)};
    auto created = topics_->CreateGroup(group);
    ASSERT_OK(created);
    group_ = *created;
    progress_ = std::make_unique<Progress>(ProgressOptions(), rig_.state(), rig_.clock());
    letters_ =
        std::make_unique<DeadLetters>(*topics_, rig_.dispatcher(), *progress_, trace_, executor_);
    message_ = rig_.Send(queue_);
  }

  std::vector<Reservation> Reserve() {
    ReserveRequest request;
    request.group = group_->id;
    request.queue = queue_;
    request.bounds = {QueueOffset(0), QueueOffset(1)};
    request.max_attempts = group_->max_attempts;
    request.invisible = seconds(30);
    std::vector<Reservation> reserved;
    EXPECT_OK(progress_->Reserve(request, reserved));
    return reserved;
  }

  // One delivery more than the group allows.
  ReceiptHandle Exhaust() {
    EXPECT_EQ(Reserve().size(), 1u);
    rig_.clock().Advance(seconds(31));
    const std::vector<Reservation> reserved = Reserve();
    EXPECT_EQ(reserved.size(), 1u);
    EXPECT_TRUE(reserved[0].exhausted);
    return reserved[0].handle;
  }

  std::future<absl::Status> Submit(const ReceiptHandle& handle) {
    auto told = std::make_shared<std::promise<absl::Status>>();
    EXPECT_OK(letters_->Submit({group_, handle, message_.log_offset, handle.attempt - 1},
                               [told](const absl::Status& status) { told->set_value(status); }));
    return told->get_future();
  }

  uint64_t LettersStored() {
    rig_.Settle();
    const auto topic = topics_->FindTopic("", "%DLQ%group");
    if (topic == nullptr) return 0;
    return rig_.dispatcher().NextOffset({topic->id, 0})->value();
  }

  uint64_t InFlight() {
    const auto counts = progress_->GetCounts(group_->id, queue_);
    EXPECT_OK(counts);
    return counts->in_flight + counts->retrying;
  }

  store::StoreRig rig_;
  std::unique_ptr<TopicTable> topics_;
  std::unique_ptr<Progress> progress_;
  QueueKey queue_;
  std::shared_ptr<const Group> group_;
  store::Appended message_;
  MessageTrace trace_{100, rig_.clock()};
  std::unique_ptr<DeadLetters> letters_;
  Executor executor_{"letters", 2};  // goes first: its tasks use the others
};

TEST_F(DeadLettersTest, AMessageMovesToTheTopicOfItsGroup) {
  EXPECT_OK(Submit(Exhaust()).get());
  EXPECT_EQ(LettersStored(), 1u);
  EXPECT_EQ(InFlight(), 0u);
  const auto topic = topics_->FindTopic("", "%DLQ%group");
  EXPECT_TRUE(topic->Accepts(1));
  EXPECT_EQ(topic->queues(), 1u);
  auto record = rig_.log().ReadNext(message_.log_offset, rig_.log().end());
  while (record.ok() && record->header().kind != store::RecordKind::kDelivery) {
    record = rig_.log().ReadNext(record->end(), rig_.log().end());
  }
  ASSERT_OK(record);
  storage::v1::Delivery delivery;
  ASSERT_TRUE(delivery.ParseFromString(std::string(record->payload())));
  EXPECT_EQ(LogOffset(delivery.origin_log_offset()), message_.log_offset);
  EXPECT_EQ(TopicId(delivery.origin_topic_id()), queue_.topic);
  EXPECT_EQ(delivery.origin_queue_offset(), 0u);
  EXPECT_EQ(GroupId(delivery.group_id()), group_->id);
  EXPECT_EQ(delivery.attempts(), 1u);
  EXPECT_EQ(delivery.reason(), storage::v1::ATTEMPTS_EXHAUSTED);
}

TEST_F(DeadLettersTest, ASlowExecutorStoresALetterOnce) {
  std::promise<void> go;
  ASSERT_OK(executor_.Run([wait = go.get_future().share()] { wait.wait(); }));
  std::future<absl::Status> first = Submit(Exhaust());
  // It waits for longer than it is hidden.
  rig_.clock().Advance(seconds(11));
  const std::vector<Reservation> again = Reserve();
  ASSERT_EQ(again.size(), 1u);
  ASSERT_TRUE(again[0].exhausted);
  std::future<absl::Status> second;
  while (!second.valid()) {
    // The executor may not have taken the first task yet.
    auto told = std::make_shared<std::promise<absl::Status>>();
    const absl::Status submitted =
        letters_->Submit({group_, again[0].handle, message_.log_offset, 1},
                         [told](const absl::Status& status) { told->set_value(status); });
    if (submitted.ok()) second = told->get_future();
  }
  go.set_value();
  EXPECT_OK(first.get());
  EXPECT_EQ(CodeOf(second.get()), PublicCode::kInvalidReceiptHandle);
  EXPECT_EQ(LettersStored(), 1u);
  EXPECT_EQ(InFlight(), 0u);
}

TEST_F(DeadLettersTest, AMessageDeliveredAgainMeanwhileIsNoLetter) {
  const std::vector<Reservation> delivered = Reserve();
  ASSERT_EQ(delivered.size(), 1u);
  Group patient = *group_;
  patient.max_attempts = 5;
  auto updated = topics_->UpdateGroup(patient);
  ASSERT_OK(updated);
  group_ = *updated;
  rig_.clock().Advance(seconds(31));
  ASSERT_EQ(Reserve().size(), 1u);
  EXPECT_EQ(CodeOf(Submit(delivered[0].handle).get()), PublicCode::kInvalidReceiptHandle);
  EXPECT_EQ(LettersStored(), 0u);
  EXPECT_EQ(InFlight(), 1u);
}

TEST_F(DeadLettersTest, WithoutRoomTheLetterWaitsForAnotherTry) {
  std::promise<void> go;
  const std::shared_future<void> wait = go.get_future().share();
  const ReceiptHandle handle = Exhaust();
  // The thread must have its task before the rest is filled, or it makes room by taking one.
  auto begun = std::make_shared<std::promise<void>>();
  ASSERT_OK(executor_.Run([wait, begun] {
    begun->set_value();
    wait.wait();
  }));
  begun->get_future().wait();
  while (executor_.Run([wait] { wait.wait(); }).ok()) {
  }
  EXPECT_THAT(letters_->Submit({group_, handle, message_.log_offset, 1},
                               [](const absl::Status&) { FAIL() << "it was refused"; }),
              StatusIs(absl::StatusCode::kResourceExhausted));
  go.set_value();
  executor_.Stop();
  EXPECT_EQ(InFlight(), 1u);
}

}  // namespace
}  // namespace dunlin::broker
