#include "services/replicator/transport/log_receiver.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/replicator/transport/member_channel.h"
#include "services/replicator/transport/wire.h"

namespace dunlin::replicator {

LogReceiver::LogReceiver(Identity identity, Options options, InstantSource now,
                         std::function<Hello()> hello, Listener& listener)
    : identity_(std::move(identity)),
      options_(std::move(options)),
      now_(std::move(now)),
      hello_(std::move(hello)),
      listener_(listener),
      retry_(options_.first_retry) {}

LogReceiver::~LogReceiver() { Stop(); }

void LogReceiver::Follow(const MemberName& master, const std::string& address) {
  StopFollowing();
  MutexLock lock(mutex_);
  master_ = master;
  address_ = address;
  connect_at_ = Instant{};
  retry_ = options_.first_retry;
}

void LogReceiver::StopFollowing() {
  std::shared_ptr<Conversation> talk;
  {
    MutexLock lock(mutex_);
    master_.clear();
    talk = std::move(talk_);
  }
  if (talk != nullptr) talk->stream->Cancel(absl::CancelledError("nobody is to be followed"));
}

void LogReceiver::Drop(uint64_t stream, const absl::Status& why) {
  const std::shared_ptr<Conversation> talk = Find(stream);
  if (talk != nullptr) talk->stream->Cancel(why);
}

std::shared_ptr<LogReceiver::Conversation> LogReceiver::Find(uint64_t stream) const {
  MutexLock lock(mutex_);
  return talk_ != nullptr && talk_->stream->number() == stream ? talk_ : nullptr;
}

void LogReceiver::Acknowledge(uint64_t stream, const Ack& ack, int frames, uint64_t bytes) {
  const std::shared_ptr<Conversation> talk = Find(stream);
  if (talk == nullptr) return;
  v1::Ack wire = ToWire(ack);
  wire.set_credit_bytes(bytes);
  talk->stream->Send(wire);
  talk->stream->Taken(frames);
}

void LogReceiver::Release(uint64_t stream, int frames) {
  const std::shared_ptr<Conversation> talk = Find(stream);
  if (talk != nullptr) talk->stream->Taken(frames);
}

void LogReceiver::Tick(Instant now) {
  std::shared_ptr<FollowStream> silent;
  bool connect = false;
  {
    MutexLock lock(mutex_);
    if (talk_ != nullptr && now >= heard_ + options_.silence) silent = talk_->stream;
    connect = talk_ == nullptr && !master_.empty() && !stopping_ && now >= connect_at_;
  }
  if (silent != nullptr) {
    silent->Cancel(absl::DeadlineExceededError(fmt::format(
        "nothing was heard of the master for {} ms",
        std::chrono::duration_cast<std::chrono::milliseconds>(options_.silence).count())));
  }
  if (connect) Connect(now);
}

Instant LogReceiver::wake_at() const {
  MutexLock lock(mutex_);
  if (talk_ != nullptr) return heard_ + options_.silence;
  return master_.empty() || stopping_ ? kNever : connect_at_;
}

void LogReceiver::Connect(Instant now) {
  const Hello hello = hello_();
  std::shared_ptr<Conversation> talk;
  {
    MutexLock lock(mutex_);
    // A channel of its own: a shared one would wait after each failure, longer each time.
    const std::shared_ptr<grpc::Channel> channel = MemberChannel(address_, options_.credentials);
    talk = std::make_shared<Conversation>(
        Conversation{.stream = FollowStream::Make(++last_number_, *this, channel),
                     .handshake = SlaveHandshake(identity_, master_),
                     .expecting = Expecting::kChallenge,
                     .chain = {},
                     .epoch = {},
                     .next = {},
                     .segment_end = {},
                     .begun = now});
    talk_ = talk;
    ++open_;
    heard_ = now;
  }
  v1::Hello wire = ToWire(hello);
  talk->handshake.Sign(wire);
  wire.set_learner(options_.learner);
  wire.set_credit_bytes(options_.credit_bytes);
  talk->stream->Begin(wire);
}

absl::Status LogReceiver::OnAnswer(FollowStream& stream, const grpc::ByteBuffer& answer) {
  std::shared_ptr<Conversation> talk;
  {
    MutexLock lock(mutex_);
    if (talk_ == nullptr || talk_->stream.get() != &stream) {
      return absl::CancelledError("another stream has taken its place");
    }
    talk = talk_;
    heard_ = now_();
  }
  auto bytes = std::make_shared<const FlatBuffer>(answer);
  if (HasFrame(bytes->view())) return OnFrame(*talk, std::move(bytes));
  v1::FollowResponse response;
  RETURN_IF_ERROR(Parse(answer, response));
  stream.Taken(1);
  switch (response.response_case()) {
    case v1::FollowResponse::kChallenge:
      return OnChallenge(*talk, response);
    case v1::FollowResponse::kStart:
      return OnStart(*talk, response);
    default:
      return absl::InvalidArgumentError("an answer without challenge, start or frame");
  }
}

absl::Status LogReceiver::OnChallenge(Conversation& talk, const v1::FollowResponse& answer) {
  if (talk.expecting != Expecting::kChallenge) {
    return absl::InvalidArgumentError("a second challenge");
  }
  ASSIGN_OR_RETURN(const v1::Proof proof, talk.handshake.OnChallenge(answer.challenge()));
  talk.expecting = Expecting::kStart;
  talk.stream->Send(proof);
  return absl::OkStatus();
}

absl::Status LogReceiver::OnStart(Conversation& talk, const v1::FollowResponse& answer) {
  if (talk.expecting != Expecting::kStart) {
    return absl::InvalidArgumentError("a start that was not to come");
  }
  ASSIGN_OR_RETURN(const StreamStart start, FromWire(answer.start()));
  talk.expecting = Expecting::kFrames;
  talk.next = start.common.has_value() ? start.common->offset : start.start;
  talk.segment_end = talk.next;
  listener_.OnStreamStart(talk.stream->number(), start);
  return absl::OkStatus();
}

void LogReceiver::Prove(Conversation& talk) {
  talk.proven = true;
  MutexLock lock(mutex_);
  retry_ = options_.first_retry;
  last_problem_.clear();
}

absl::Status LogReceiver::OnFrame(Conversation& talk, std::shared_ptr<const FlatBuffer> bytes) {
  if (talk.expecting != Expecting::kFrames) {
    return absl::InvalidArgumentError("a frame before the start");
  }
  ASSIGN_OR_RETURN(const DecodedFrame frame, DecodeFrame(bytes->view()));
  const FrameHeader& header = frame.header;
  if (talk.chain.Extend(header, frame.records) != frame.crc) {
    return absl::DataLossError(
        fmt::format("the frame at {} is not the one that was sent: its check sum is wrong",
                    header.offset.value()));
  }
  if (header.epoch < talk.epoch) {
    return absl::InvalidArgumentError(fmt::format("a frame of epoch {} behind one of epoch {}",
                                                  header.epoch.value(), talk.epoch.value()));
  }
  if (header.epoch_start > header.offset) {
    return absl::InvalidArgumentError(fmt::format("a frame at {} of epoch {}, which begins at {}",
                                                  header.offset.value(), header.epoch.value(),
                                                  header.epoch_start.value()));
  }
  if (header.offset != talk.next && header.offset != talk.segment_end) {
    return absl::InvalidArgumentError(fmt::format("a frame at {}, the one before ended at {}",
                                                  header.offset.value(), talk.next.value()));
  }
  talk.epoch = header.epoch;
  talk.next = header.offset + frame.records.size();
  if (!frame.records.empty()) talk.segment_end = header.segment_end;
  const bool lasted = now_() >= talk.begun + options_.last_retry;
  if (!talk.proven && (lasted || !frame.records.empty())) Prove(talk);
  listener_.OnFrame(talk.stream->number(),
                    {.header = header, .records = frame.records, .bytes = std::move(bytes)});
  return absl::OkStatus();
}

void LogReceiver::OnEnded(uint64_t stream, const absl::Status& why) {
  std::shared_ptr<Conversation> talk;
  bool news = false;
  {
    MutexLock lock(mutex_);
    if (talk_ != nullptr && talk_->stream->number() == stream) {
      talk = std::move(talk_);
      connect_at_ = now_() + retry_;
      retry_ = std::min(2 * retry_, options_.last_retry);
      news = why.message() != last_problem_;
      last_problem_ = std::string(why.message());
    }
  }
  if (news) log::Warning("no stream from the master: {}", FromAbsl(why.message()));
  talk.reset();
  listener_.OnStreamBroken(stream, why);
  // Last: Stop, and so the destructor, waits for it.
  MutexLock lock(mutex_);
  --open_;
  gone_.SignalAll();
}

void LogReceiver::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  StopFollowing();
  MutexLock lock(mutex_);
  while (open_ > 0) gone_.Wait(mutex_);
}

}  // namespace dunlin::replicator
