// One call each of FakeBroker's service.

#pragma once

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "clients/cpp/testing/fake_broker.h"

namespace dunlin::testing {

// Reads on its own thread and answers on another, so that answers can be held back.
class PublishCall {
 public:
  using Stream = grpc::ServerReaderWriter<v1::PublishResponse, v1::PublishRequest>;
  PublishCall(FakeBroker& broker, Stream& stream) : broker_(broker), stream_(stream) {}
  grpc::Status Run();

 private:
  struct Binding {
    std::string topic;
    uint32_t topic_id = 0;
    uint32_t queue = 0;
    uint64_t expected = 0;  // sequence; 0: any
    bool refusing = false;  // until `expected` comes
  };

  void Answer();
  grpc::Status Handle(const v1::PublishRequest& request);
  void Bind(const v1::BindQueue& bind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);
  void Take(const v1::PublishFrame& frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);
  // False: nothing more of the frame is to be stored.
  bool Store(Binding& binding, const v1::PublishFrame& frame, int index,
             v1::PublishResponse& response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);
  static void AddAck(const v1::PublishFrame& frame, int index, int64_t offset,
                     v1::PublishResponse& response);

  FakeBroker& broker_;
  Stream& stream_;
  uint64_t producer_ = 0;
  std::map<uint32_t, Binding> bindings_;
  std::vector<v1::PublishResponse> control_ ABSL_GUARDED_BY(broker_.mutex_);
  std::vector<v1::PublishResponse> answers_ ABSL_GUARDED_BY(broker_.mutex_);
  uint64_t unanswered_ ABSL_GUARDED_BY(broker_.mutex_) = 0;
  bool done_ ABSL_GUARDED_BY(broker_.mutex_) = false;
};

class WatchRoutesCall {
 public:
  using Stream = grpc::ServerReaderWriter<ns::WatchRoutesResponse, ns::WatchRoutesRequest>;
  WatchRoutesCall(FakeBroker& broker, Stream& stream) : broker_(broker), stream_(stream) {}
  grpc::Status Run();

 private:
  void Send();
  void Handle(const ns::WatchRoutesRequest& request);
  // False: the client knows everything.
  bool NextResponse(ns::WatchRoutesResponse& response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);

  FakeBroker& broker_;
  Stream& stream_;
  std::map<std::string, uint64_t> versions_ ABSL_GUARDED_BY(broker_.mutex_);  // the client's
  uint64_t requests_ ABSL_GUARDED_BY(broker_.mutex_) = 0;
  uint64_t answered_ ABSL_GUARDED_BY(broker_.mutex_) = 0;
  bool done_ ABSL_GUARDED_BY(broker_.mutex_) = false;
};

class SubscribeCall {
 public:
  using Stream = grpc::ServerReaderWriter<v1::SubscribeResponse, v1::SubscribeRequest>;
  SubscribeCall(FakeBroker& broker, Stream& stream) : broker_(broker), stream_(stream) {}
  grpc::Status Run();

 private:
  struct Binding {
    std::string topic;
    bool group = false;
    bool for_commits = false;
    uint32_t queue = 0;
    uint64_t next = 0;
    uint32_t unsettled = 0;
    uint32_t max_unsettled = 0;
  };

  void Send();
  grpc::Status Handle(const v1::SubscribeRequest& request);
  void Attach(const v1::Attach& attach) ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);
  void Settle(const v1::Settle& settle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);
  void DetachAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);
  // Something to send, if the credit allows. False: there is nothing.
  bool NextFrame(v1::SubscribeResponse& response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);
  bool OffsetFrame(Binding& binding, v1::MessageFrame& frame)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);
  bool GroupFrame(Binding& binding, v1::MessageFrame& frame)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(broker_.mutex_);

  FakeBroker& broker_;
  Stream& stream_;
  std::map<uint32_t, Binding> bindings_ ABSL_GUARDED_BY(broker_.mutex_);
  std::vector<v1::SubscribeResponse> control_ ABSL_GUARDED_BY(broker_.mutex_);
  std::vector<v1::SubscribeResponse> settled_ ABSL_GUARDED_BY(broker_.mutex_);
  int64_t credit_ ABSL_GUARDED_BY(broker_.mutex_) = 0;
  int detach_round_ ABSL_GUARDED_BY(broker_.mutex_) = 0;
  bool done_ ABSL_GUARDED_BY(broker_.mutex_) = false;
};

}  // namespace dunlin::testing
