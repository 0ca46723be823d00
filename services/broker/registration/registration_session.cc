#include "services/broker/registration/registration_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/log.h"

namespace dunlin::broker {
namespace {

namespace ns = nameservice::v1;

using std::chrono::milliseconds;

// Between two looks, whatever the clock does; news come by themselves.
constexpr milliseconds kLongestWait{1'000};
// Of a request, which may have 1 MiB.
constexpr size_t kTopicsPerRequest = 2'000;
constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLongestRetry{2'000};
// A name service that is there welcomes sooner.
constexpr milliseconds kPatience{5'000};
constexpr milliseconds kHeartbeat{1'000};
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, static_cast<int>(kFirstRetry.count()));
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(kFirstRetry.count()));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, static_cast<int>(kLongestRetry.count()));
  // A name service may come back under its name with another address.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS,
                   static_cast<int>(kLongestRetry.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Else the third ping of those in a row waits until there is something else to send.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

std::string MasterIn(const ns::GroupState& group) {
  for (const ns::GroupMember& member : group.members()) {
    if (member.role() != ns::MASTER || member.endpoints().addresses().empty()) continue;
    const auto& address = member.endpoints().addresses(0);
    return fmt::format("{}:{}", address.host(), address.port());
  }
  return "";
}

}  // namespace

RegistrationSession::RegistrationSession(
    std::string address, size_t reader, std::function<void()> on_news,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials)
    : address_(std::move(address)),
      reader_(reader),
      on_news_(std::move(on_news)),
      counts_(std::make_shared<RegistrationCounts>()),
      channel_(MakeChannel(address_, credentials)),
      stub_(ns::RegistryService::NewStub(channel_)) {}

RegistrationSession::~RegistrationSession() {
  if (journal_ != nullptr) journal_->End(reader_);
}

void RegistrationSession::TakeOver(const Registration& registration) {
  if (journal_ != nullptr) journal_->End(reader_);
  topics_ = registration.topics;
  journal_ = registration.journal;
  said_hello_.clear();
  changes_ = {};
  // Somebody waits for the end of it.
  if (telling_) BeginTable();
}

void RegistrationSession::Connect(Timestamp now) {
  called_at_ = now;
  said_hello_.clear();
  welcomed_ = false;
  telling_ = false;
  heartbeat_ = kHeartbeat;
  heartbeat_at_ = now + heartbeat_;
  call_ = std::make_unique<RegistrationCall>(*stub_, on_news_);
}

void RegistrationSession::Disconnect(Timestamp now, const grpc::Status& status) {
  call_.reset();
  journal_->End(reader_);
  changes_ = {};
  table_.clear();
  master_.clear();
  if (std::exchange(welcomed_, false)) failures_ = 0;
  counts_->registered = false;
  ++counts_->failures;
  const milliseconds delay = std::min(kLongestRetry, kFirstRetry * (1 << std::min(failures_, 10)));
  // Said once for each time that it was there, or has been asked for the first time.
  if (failures_ == 0) {
    log::Warning("name service {}: {}; trying again every {} ms at the latest", address_,
                 status.error_message(), kLongestRetry.count());
  }
  ++failures_;
  retry_at_ = now + delay;
}

Timestamp RegistrationSession::Step(Timestamp now, const Registration& registration) {
  if (journal_ != registration.journal) TakeOver(registration);
  if (call_ == nullptr) {
    if (now < retry_at_) return retry_at_;
    Connect(now);
  }
  RegistrationCall::News news = call_->Look();
  if (news.ended.has_value()) {
    Disconnect(now, *news.ended);
    return retry_at_;
  }
  if (news.welcome.has_value()) {
    if (!std::exchange(welcomed_, true)) {
      ++counts_->welcomes;
      counts_->registered = true;
      log::Info("registered with the name service {}", address_);
    }
    session_timeout_ = milliseconds(news.welcome->session_timeout_ms());
    heartbeat_ = std::clamp(session_timeout_ / 4, milliseconds(1), kHeartbeat);
    heartbeat_at_ = std::min(heartbeat_at_, now + heartbeat_);
  }
  if (news.group.has_value()) master_ = MasterIn(*news.group);
  if (news.send_table) BeginTable();
  if (!welcomed_ && now - called_at_ >= kPatience) {
    Disconnect(now, grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "it does not answer"));
    return retry_at_;
  }
  // One that does not read takes the broker for silent. Its flow control says so, and pings do not.
  if (!news.may_write && welcomed_ && now - wrote_at_ >= session_timeout_) {
    Disconnect(now, grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "it does not read"));
    return retry_at_;
  }
  ns::RegisterRequest request;
  if (news.may_write && Next(now, registration.hello, request)) {
    wrote_at_ = now;
    heartbeat_at_ = now + heartbeat_;
    call_->Write(std::move(request));
  }
  if (!welcomed_) return called_at_ + kPatience;
  return news.may_write ? heartbeat_at_ : now + kLongestWait;
}

bool RegistrationSession::Next(Timestamp now, const ns::Hello& hello,
                               ns::RegisterRequest& request) {
  if (const std::string serialised = hello.SerializeAsString(); serialised != said_hello_) {
    ns::Hello& said = *request.mutable_hello();
    said = hello;
    if (said_hello_.empty() && !telling_) {
      // What changed before is in the topics of this version, which are asked for if need be.
      told_ = journal_->Begin(reader_);
    }
    *said.mutable_topics_version() = told_;
    said_hello_ = serialised;
    return true;
  }
  if (!welcomed_) return false;
  if (telling_) {
    NextOfTable(*request.mutable_table());
    return true;
  }
  if (!changes_.topics.empty() || journal_->HasChanges(reader_)) {
    NextChanges(*request.mutable_changes());
    return true;
  }
  if (now < heartbeat_at_) return false;
  request.mutable_heartbeat();
  return true;
}

void RegistrationSession::BeginTable() {
  telling_ = true;
  told_topics_ = 0;
  changes_ = {};
  // Before the topics: what changes in between is told once more.
  told_ = journal_->Begin(reader_);
  table_ = topics_->Topics();
}

void RegistrationSession::NextOfTable(ns::TopicTable& table) {
  table.set_first(told_topics_ == 0);
  const size_t end = std::min(table_.size(), told_topics_ + kTopicsPerRequest);
  for (; told_topics_ < end; ++told_topics_) {
    *table.add_topics() = ToRegistered(*table_[told_topics_]);
  }
  if (told_topics_ < table_.size()) return;
  table.set_last(true);
  *table.mutable_version() = told_;
  telling_ = false;
  table_.clear();
  ++counts_->tables_sent;
}

void RegistrationSession::NextChanges(ns::TopicChanges& changes) {
  if (changes_.topics.empty()) changes_ = journal_->Take(reader_);
  *changes.mutable_base() = told_;
  for (size_t i = 0; i < kTopicsPerRequest && !changes_.topics.empty(); ++i) {
    const auto [name_space, name] = SplitQualifiedName(changes_.topics.back());
    if (const auto topic = topics_->FindTopic(name_space, name); topic != nullptr) {
      *changes.add_changed() = ToRegistered(*topic);
    } else {
      changes.add_deleted()->set_resource_namespace(std::string(name_space));
      changes.mutable_deleted()->rbegin()->set_name(std::string(name));
    }
    changes_.topics.pop_back();
  }
  // Only with the last of them the name service has this version.
  if (changes_.topics.empty()) told_ = changes_.version;
  *changes.mutable_version() = told_;
  ++counts_->changes_sent;
}

}  // namespace dunlin::broker
