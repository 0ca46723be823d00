#include "clients/cpp/src/subscribe_stream.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/wire.h"

namespace dunlin::internal {
namespace {

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

constexpr char kMethod[] = "/dunlin.broker.v1.StreamService/Subscribe";
constexpr size_t kSmallestCredit = 64 << 10;  // that the contract allows
constexpr int kVerdictsPerRequest = 4096;
constexpr std::chrono::milliseconds kFirstBackoff{50};
constexpr std::chrono::seconds kLasting{10};  // a call that was no mistake

// Fields of SubscribeResponse.
enum Field : uint32_t { kOpened = 1, kAttached = 2, kFrame = 3, kSettled = 4, kDetached = 5 };

template <typename Message>
bool ParseField(std::string_view bytes, Message& message) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

template <typename Map>
void KeepOnly(const std::set<uint32_t>& bindings, Map& map) {
  std::erase_if(map, [&](const auto& entry) { return !bindings.contains(entry.first); });
}

}  // namespace

SubscribeStream::SubscribeStream(std::shared_ptr<Connection> connection, std::string group,
                                 size_t max_buffered_bytes, SubscribeHost& host)
    : ticker_(connection->ticker()),
      group_(std::move(group)),
      max_buffered_bytes_(max_buffered_bytes),
      host_(host),
      connection_(std::move(connection)) {}

void SubscribeStream::MoveTo(std::shared_ptr<Connection> connection) {
  MutexLock lock(mutex_);
  if (closing_) return;
  const bool is_another = connection != connection_;
  connection_ = std::move(connection);
  if (stream_ != nullptr && is_another) {
    moved_ = true;
    stream_->Cancel();
  } else if (stream_ == nullptr) {
    failures_ = 0;
    reconnect_at_ = steady_clock::now();
    if (state_ == State::kBackoff) ticker_->WakeAt(reconnect_at_, this);
  }
}

void SubscribeStream::SetWanted(bool wanted) {
  MutexLock lock(mutex_);
  wanted_ = wanted;
  if (!wanted && state_ == State::kBackoff) state_ = State::kIdle;
}

void SubscribeStream::Rest() {
  MutexLock lock(mutex_);
  wanted_ = false;
  if (state_ == State::kBackoff) state_ = State::kIdle;
  if (stream_ == nullptr) return;
  moved_ = true;
  stream_->Cancel();
}

void SubscribeStream::Start() {
  MutexLock lock(mutex_);
  if (state_ != State::kIdle || closing_) return;
  if (steady_clock::now() >= reconnect_at_) return Connect();
  state_ = State::kBackoff;
  ticker_->WakeAt(reconnect_at_, this);
}

bool SubscribeStream::IsOpen() {
  MutexLock lock(mutex_);
  return state_ == State::kOpen && !moved_;
}

void SubscribeStream::Connect() {
  state_ = State::kConnecting;
  connected_at_ = steady_clock::now();
  v1::SubscribeRequest request;
  v1::OpenSubscribe& open = *request.mutable_open();
  if (!group_.empty()) connection_->Fill(group_, *open.mutable_group());
  const size_t used = std::min(buffered_bytes_, max_buffered_bytes_);
  open.set_credit_bytes(std::max(kSmallestCredit, max_buffered_bytes_ - used));
  owed_bytes_ = 0;
  control_.clear();
  stream_ = ByteStream::Start(*connection_, kMethod, *this);
  writing_ = true;
  stream_->Write(ToBytes(request));
}

void SubscribeStream::Attach(const v1::Attach& attach) {
  {
    MutexLock lock(mutex_);
    if (state_ != State::kOpen || !attached_.insert(attach.binding()).second) return;
    *control_.emplace_back().mutable_attach() = attach;
  }
  Pump();
}

void SubscribeStream::Forget(uint32_t binding) {
  MutexLock lock(mutex_);
  attached_.erase(binding);
  committing_.erase(binding);
}

void SubscribeStream::Detach(uint32_t binding) {
  {
    MutexLock lock(mutex_);
    const auto unwritten = commits_.extract(binding);
    const bool may_commit = committing_.erase(binding) != 0;
    if (attached_.erase(binding) == 0) return;
    // What was committed before goes before.
    if (may_commit && !unwritten.empty()) {
      v1::CommitOffset& commit = *control_.emplace_back().mutable_commit();
      commit.set_binding(binding);
      commit.set_queue_offset(unwritten.mapped());
    }
    control_.emplace_back().mutable_detach()->set_binding(binding);
  }
  Pump();
}

void SubscribeStream::Settle(uint32_t binding, const v1::Verdict& verdict) {
  {
    MutexLock lock(mutex_);
    v1::Settle& settle = settles_[binding];
    settle.set_binding(binding);
    *settle.add_verdicts() = verdict;
    if (writing_) return;
  }
  Pump();
}

void SubscribeStream::Commit(uint32_t binding, uint64_t offset) {
  {
    MutexLock lock(mutex_);
    commits_[binding] = offset;
  }
  Pump();
}

void SubscribeStream::AllowCommits(uint32_t binding) {
  {
    MutexLock lock(mutex_);
    if (!attached_.contains(binding)) return;
    committing_.insert(binding);
  }
  Pump();
}

std::optional<uint64_t> SubscribeStream::TakeHeldCommit(uint32_t binding) {
  MutexLock lock(mutex_);
  if (committing_.contains(binding)) return std::nullopt;
  const auto held = commits_.extract(binding);
  if (held.empty()) return std::nullopt;
  return held.mapped();
}

void SubscribeStream::PassOnCommit(uint32_t from, uint32_t to) {
  MutexLock lock(mutex_);
  auto unwritten = commits_.extract(from);
  if (unwritten.empty()) return;
  unwritten.key() = to;
  commits_.insert(std::move(unwritten));
}

void SubscribeStream::ReturnCredit(size_t bytes) {
  {
    MutexLock lock(mutex_);
    buffered_bytes_ -= std::min(bytes, buffered_bytes_);
    owed_bytes_ += bytes;
    if (owed_bytes_ < max_buffered_bytes_ / 4) return;
  }
  Pump();
}

void SubscribeStream::Restart() {
  MutexLock lock(mutex_);
  if (stream_ != nullptr) stream_->Cancel();
}

void SubscribeStream::RestartLater() {
  MutexLock lock(mutex_);
  if (stream_ == nullptr) return;
  refused_ = true;
  stream_->Cancel();
}

bool SubscribeStream::NextRequest(v1::SubscribeRequest& request) {
  if (!control_.empty()) {
    request = std::move(control_.front());
    control_.pop_front();
    return true;
  }
  // What belongs to a binding that is gone is of no use any more.
  KeepOnly(attached_, settles_);
  if (!settles_.empty()) {
    const auto first = settles_.begin();
    v1::Settle& settle = first->second;
    v1::Settle& out = *request.mutable_settle();
    if (settle.verdicts_size() <= kVerdictsPerRequest) {
      out.Swap(&settle);
      settles_.erase(first);
      return true;
    }
    // In the order they were given.
    out.set_binding(settle.binding());
    for (int i = 0; i < kVerdictsPerRequest; ++i)
      out.add_verdicts()->Swap(settle.mutable_verdicts(i));
    settle.mutable_verdicts()->DeleteSubrange(0, kVerdictsPerRequest);
    return true;
  }
  auto commit = commits_.begin();
  while (commit != commits_.end() && !committing_.contains(commit->first)) ++commit;
  if (commit != commits_.end()) {
    request.mutable_commit()->set_binding(commit->first);
    request.mutable_commit()->set_queue_offset(commit->second);
    commits_.erase(commit);
    return true;
  }
  if (owed_bytes_ < max_buffered_bytes_ / 4 || owed_bytes_ == 0 || closing_) return false;
  request.set_credit_bytes(owed_bytes_);
  owed_bytes_ = 0;
  return true;
}

void SubscribeStream::Pump() {
  std::shared_ptr<ByteStream> stream;
  v1::SubscribeRequest request;
  bool finish = false;
  {
    MutexLock lock(mutex_);
    if (state_ != State::kOpen || opening_ || writing_ || finished_) return;
    if (!NextRequest(request)) {
      if (!closing_ || !commits_.empty()) return;  // these wait for an answer
      finished_ = finish = true;
    }
    writing_ = !finish;
    stream = stream_;
  }
  if (finish) {
    stream->Finish();
  } else {
    stream->Write(ToBytes(request));
  }
}

void SubscribeStream::OnWritten() {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  Pump();
}

void SubscribeStream::OnOpened() {
  {
    MutexLock lock(mutex_);
    state_ = State::kOpen;
    opening_ = true;
    failures_ = 0;
  }
  // Asked for without the lock. What is attached meanwhile may be among it.
  const std::vector<v1::Attach> attachments = host_.Attachments(*this);
  {
    MutexLock lock(mutex_);
    for (const v1::Attach& attach : attachments) {
      if (!attached_.insert(attach.binding()).second) continue;
      *control_.emplace_back().mutable_attach() = attach;
    }
    opening_ = false;
  }
  Pump();
}

void SubscribeStream::OnRead(grpc::ByteBuffer& bytes) {
  if (!Handle(OneSlice(bytes))) Restart();
}

bool SubscribeStream::Handle(const grpc::Slice& response) {
  WireReader reader({reinterpret_cast<const char*>(response.begin()), response.size()});
  for (WireField field; reader.Next(field);) {
    bool ok = true;
    if (field.number == kFrame) {
      auto frame = ReceivedFrame::Parse(response, field.bytes);
      if (frame == nullptr) return false;
      {
        MutexLock lock(mutex_);
        buffered_bytes_ += frame->bytes();
      }
      host_.OnFrame(*this, std::move(frame));
    } else if (field.number == kAttached) {
      v1::Attached attached;
      ok = ParseField(field.bytes, attached);
      if (attached.status().code() != v2::OK) Forget(attached.binding());
      if (ok) host_.OnAttached(attached);
    } else if (field.number == kSettled) {
      v1::Settled settled;
      ok = ParseField(field.bytes, settled);
      if (ok) host_.OnSettled(settled);
    } else if (field.number == kDetached) {
      v1::Detached detached;
      ok = ParseField(field.bytes, detached);
      Forget(detached.binding());
      if (ok) host_.OnDetached(detached);
    } else if (field.number == kOpened) {
      OnOpened();
    }
    if (!ok) return false;
  }
  return reader.ok();
}

void SubscribeStream::OnEnd(const grpc::Status& status) {
  bool rejected = false;
  bool in_trouble = false;
  {
    MutexLock lock(mutex_);
    ending_ = true;
    stream_ = nullptr;
    writing_ = false;
    control_.clear();
    attached_.clear();
    committing_.clear();
    rejected = !closing_ && IsFatal(status);
    const bool moved = std::exchange(moved_, false);
    const SteadyTime now = steady_clock::now();
    const bool refused = std::exchange(refused_, false);
    if ((rejected || refused) && now - connected_at_ > kLasting) rejections_ = 0;
    if (closing_ || rejected || !wanted_) {
      state_ = State::kIdle;
      // A fault that stays is not to keep the broker busy.
      if (rejected) reconnect_at_ = now + Backoff(rejections_++, kFirstBackoff);
    } else {
      state_ = State::kBackoff;
      if (moved) failures_ = 0;
      in_trouble = !refused && failures_ > 0;
      // A call that was opened is no failure any more, but the broker may refuse the next as well.
      const auto pause = Jittered(Backoff(refused ? rejections_++ : failures_++, kFirstBackoff));
      reconnect_at_ = moved ? now : now + pause;
      ticker_->WakeAt(reconnect_at_, this);
    }
  }
  host_.OnBroken(*this);
  if (rejected) host_.OnRejected(*this, FromGrpc(status));
  if (in_trouble) host_.OnTrouble();
  MutexLock lock(mutex_);
  ending_ = false;
  ended_.SignalAll();
}

void SubscribeStream::Tick(SteadyTime now) {
  MutexLock lock(mutex_);
  if (closing_ || state_ != State::kBackoff || now < reconnect_at_) return;
  Connect();
}

void SubscribeStream::Shutdown(std::chrono::milliseconds patience) {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    if (state_ == State::kConnecting) stream_->Cancel();
  }
  ticker_->Forget(this);
  Pump();
  const SteadyTime deadline = steady_clock::now() + patience;
  MutexLock lock(mutex_);
  bool in_time = true;
  while ((stream_ != nullptr || ending_) && in_time) in_time = ended_.WaitUntil(mutex_, deadline);
  if (stream_ != nullptr) stream_->Cancel();
  while (stream_ != nullptr || ending_) ended_.Wait(mutex_);
}

}  // namespace dunlin::internal
