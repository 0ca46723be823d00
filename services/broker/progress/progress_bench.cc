// What a consumer's leases cost: messages reserved, and acknowledged one by one.

#include <benchmark/benchmark.h>

#include <chrono>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/check.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/measure.h"
#include "services/broker/progress/progress.h"

namespace dunlin::broker {
namespace {

// Of a store in which nobody consumed yet.
class NoRows final : public store::StateStore {
 public:
  store::Database& database() override { std::abort(); }
  absl::StatusOr<std::vector<storage::v1::Topic>> ListTopics() const override { return Nothing(); }
  absl::StatusOr<std::vector<storage::v1::Group>> ListGroups() const override { return Nothing(); }
  absl::StatusOr<std::vector<storage::v1::User>> ListUsers() const override { return Nothing(); }
  absl::StatusOr<storage::v1::Topic> GetTopic(TopicId) const override { return Nothing(); }
  absl::StatusOr<storage::v1::Group> GetGroup(GroupId) const override { return Nothing(); }
  absl::StatusOr<storage::v1::QueueProgress> GetProgress(GroupId, QueueKey) const override {
    return Nothing();
  }
  absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(GroupId,
                                                                       TopicId) const override {
    return Nothing();
  }
  absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(GroupId) const override {
    return Nothing();
  }
  absl::Status VisitProgress(GroupId, VisitRow) const override { std::abort(); }
  absl::Status VisitLiteTopics(QueueKey, VisitLite) const override { std::abort(); }
  absl::StatusOr<store::ProducerRow> GetProducer(uint64_t, QueueKey) const override {
    return Nothing();
  }
  storage::v1::Checkpoint GetCheckpoint() const override { return {}; }
  store::DatabaseUsage usage() const override { return {}; }

 private:
  static absl::Status Nothing() { return absl::NotFoundError("no row"); }
};

// So many at a time; the argument behind it: how many others are in flight all along.
void ReserveAndAck(benchmark::State& state) {
  const ManualClock clock;
  const NoRows rows;
  Progress progress(ProgressOptions(), rows, clock);
  ReserveRequest request;
  request.group = GroupId(1);
  request.queue = {TopicId(1), 2};
  request.bounds = {QueueOffset(0), QueueOffset(uint64_t{1} << 40)};
  request.max_attempts = 17;
  request.invisible = std::chrono::seconds(30);
  request.client_id = "client";
  std::vector<Reservation> reserved;
  request.limit = static_cast<size_t>(state.range(1));
  if (request.limit > 0) CHECK(progress.Reserve(request, reserved).ok());
  request.limit = static_cast<size_t>(state.range(0));
  Measure(state, 64, [&] {
    reserved.clear();
    CHECK(progress.Reserve(request, reserved).ok());
    for (const Reservation& reservation : reserved) CHECK(progress.Ack(reservation.handle).ok());
  });
  CHECK(reserved.size() == request.limit);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(ReserveAndAck)->Args({32, 0})->Args({32, 5000});

}  // namespace
}  // namespace dunlin::broker

BENCHMARK_MAIN();
