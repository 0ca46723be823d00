// Client: makes ApiCalls, again where that is allowed (retry.h), and reads their answers.
//
// Thread-safe. Outlives its calls: stop the loop first. Answers of more than kAnswerBytesMax are
// refused.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "operator/k8s/api_call.h"
#include "operator/k8s/json.h"
#include "operator/k8s/retry.h"
#include "operator/k8s/transport.h"
#include "services/base/mutex.h"

namespace dunlin::k8s {

struct ClientOptions {
  std::chrono::milliseconds attempt_timeout{15'000};
  // All attempts and the waits between them.
  std::chrono::milliseconds call_timeout{60'000};
  RetryRules retry;
  uint32_t seed = 1;  // of the jitter
};

class Client {
 public:
  static constexpr size_t kAnswerBytesMax = 64 << 20;

  // What the API answered: an object or a list; or why it did not (api_error.h, transport.h).
  using Answer = absl::StatusOr<Json>;
  using Done = absl::AnyInvocable<void(Answer)>;

  // Both outlive this.
  Client(Transport& transport, Scheduler& scheduler, ClientOptions options = {});
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // `done` is called once, on the loop's thread (when the loop has stopped: on the caller's).
  void Start(ApiCall call, Done done);

  // Waits for the answer. REQUIRES: not on the loop's thread.
  Answer Run(ApiCall call);

  struct ListAnswer {
    std::vector<Json> items;
    std::string resource_version;
  };
  // All pages of a list; from the first again when it has expired meanwhile.
  absl::StatusOr<ListAnswer> ListAll(const ResourceType& type, const ListOptions& options);

 private:
  class Flight;
  class Collector;

  void Launch(std::shared_ptr<Flight> flight);
  void Land(std::shared_ptr<Flight> flight, const HttpHead& head, const HttpEnd& end,
            std::string body);
  double Jitter() ABSL_LOCKS_EXCLUDED(mutex_);

  Transport& transport_;
  Scheduler& scheduler_;
  const ClientOptions options_;
  Mutex mutex_;
  std::minstd_rand random_ ABSL_GUARDED_BY(mutex_);
};

// Takes the items of one page out of a list and gives each the apiVersion and kind that only the
// list has. INVALID_ARGUMENT: it is no list.
absl::StatusOr<std::vector<Json>> TakeItems(Json& page);

}  // namespace dunlin::k8s
