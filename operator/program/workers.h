// Workers: threads that take keys from a queue and have them worked on, again later where that is
// asked for, and sooner and sooner less often after failures.

#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "operator/k8s/object.h"
#include "operator/k8s/work_queue.h"
#include "operator/program/operator_metrics.h"

namespace dunlin::op {

class Workers {
 public:
  // After how long to look again; zero: not before something changes.
  using Work = std::function<absl::StatusOr<std::chrono::milliseconds>(const k8s::ObjectKey& key)>;

  // All outlive this. `kind`: for the log.
  Workers(std::string kind, k8s::WorkQueue& queue, ReconcileMetrics& metrics, Work work);
  ~Workers() { Stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void Start(int threads);
  // Stops the queue, and waits for what is under way. Idempotent.
  void Stop();

  // What a thread does with each key it takes.
  void WorkOn(const k8s::ObjectKey& key);

 private:
  void Run();

  const std::string kind_;
  k8s::WorkQueue& queue_;
  ReconcileMetrics& metrics_;
  const Work work_;
  std::vector<std::thread> threads_;
};

}  // namespace dunlin::op
