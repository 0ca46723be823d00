// Attachment: one binding of a Subscribe stream: where it is, and how it gets its next frame.
//
// Used by its stream: NextFrame by one thread at a time. As a Waiter it tells the stream when there
// may be something again.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "proto/dunlin/broker/v1/streams.pb.h"
#include "services/broker/access/permit.h"
#include "services/broker/delivery/waiting_room.h"
#include "services/broker/filter/message_filter.h"
#include "services/broker/rpc/record_frame.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// About the size of a frame; one message may be larger.
inline constexpr size_t kFrameBytes = 256u << 10;

// How long a binding waits before it looks for itself.
inline constexpr std::chrono::seconds kPatience{10};

class Attachment : public Waiter, public std::enable_shared_from_this<Attachment> {
 public:
  enum class Next {
    kFrame,    // `frame` is to be sent
    kNothing,  // wait for more
    kAgain,    // ask again: a lot was passed over
    kGone,     // `status` says why: no more of this binding
  };
  struct Produced {
    Next next = Next::kNothing;
    RecordFrame::Encoded frame;
    absl::Status status;
  };

  // Of messages that have come since the last call. Reads the log.
  virtual Produced NextFrame() = 0;
  // After kNothing: how long at most until it is to be asked again.
  virtual std::chrono::milliseconds Patience() const { return kPatience; }
  // The stream is over, or the binding: what was not settled goes to others.
  virtual void Release() {}

  // It gets nothing more when this ends. Before the first frame.
  void SetPermit(const Permit& permit) { permit_ = permit_of_reader_ = permit; }
  // Whether the caller may still settle and commit: by who reads the stream. Errors: as of Permit.
  absl::Status CheckReader() { return permit_of_reader_.Check(); }

  uint32_t binding() const { return binding_; }
  TopicId topic() const { return topic_id_; }
  // 0 in offset mode, which competes with nobody.
  virtual GroupId competes() const { return GroupId(0); }

 protected:
  // `ready` tells the stream; any thread.
  Attachment(ServiceContext& services, uint32_t binding, std::shared_ptr<const Topic> topic,
             MessageFilter filter, std::function<void(Attachment&)> ready)
      : services_(services),
        topic_(std::move(topic)),
        topic_id_(topic_->id),
        filter_(std::move(filter)),
        binding_(binding),
        ready_(std::move(ready)) {}

  void BecomeReady() { ready_(*this); }
  // OK while the topic is there and may be read, also by this caller.
  absl::Status CheckTopic();

  ServiceContext& services_;
  std::shared_ptr<const Topic> topic_;  // NextFrame only
  const TopicId topic_id_;
  const MessageFilter filter_;

 private:
  Permit permit_;  // NextFrame only
  Permit permit_of_reader_;
  const uint32_t binding_;
  const std::function<void(Attachment&)> ready_;
};

// All messages of one queue, in order.
class OffsetAttachment final : public Attachment {
 public:
  OffsetAttachment(ServiceContext& services, uint32_t binding, std::shared_ptr<const Topic> topic,
                   MessageFilter filter, uint32_t queue, QueueOffset from,
                   std::function<void(Attachment&)> ready);

  // For whom it reads: it gets no more than that group may, nor what is for another one. Before the
  // first frame.
  void ReadFor(GroupId reader) { reader_ = reader; }

  Produced NextFrame() override;
  std::chrono::milliseconds Patience() const override;
  Outcome TryServe() override;
  void OnTimeout() override { BecomeReady(); }

  QueueKey queue() const { return queue_; }

 private:
  struct Making;
  // As it is now; null: none.
  std::shared_ptr<const Group> Reader() const;
  // Those to look at for the next frame. Error: what the client is told.
  absl::Status ReadEntries(QueueOffset from, const store::QueueBounds& bounds,
                           std::vector<store::IndexEntry>& entries);
  // Adds what belongs into the frame; false when it is full, or nothing more may be looked at.
  bool Add(const store::IndexEntry& entry, store::RecordReader& reader, Making& making);
  bool Matches(const store::RecordView& record, size_t& search) const;
  // Whether the client is to hear now that everything before `next` was passed over.
  bool OwesPosition(uint64_t next, Timestamp now) const;
  // Has what comes next brought into memory, where it may not be.
  void ReadAhead(LogOffset at);

  const QueueKey queue_;
  GroupId reader_;  // 0: none
  std::atomic<uint64_t> next_;
  // Entries to look at for the next frame: as many as the last one took. NextFrame only.
  size_t scan_;
  uint64_t told_;  // the client knows of everything before it; NextFrame and Patience only
  Timestamp told_at_;
  LogOffset prefetched_;  // up to there
  bool cold_ = false;     // when it last read; NextFrame only
};

}  // namespace dunlin::broker
