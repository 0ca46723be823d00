#include "services/replicator/transport/peers.h"

#include <fmt/format.h>

#include <utility>

#include "services/base/log.h"
#include "services/replicator/transport/credential.h"
#include "services/replicator/transport/member_channel.h"
#include "services/replicator/transport/wire.h"

namespace dunlin::replicator {

// Lives until it is answered.
template <typename Request, typename Response>
struct Peers::Call {
  MemberName peer;
  std::unique_ptr<v1::ReplicationService::Stub> stub;
  grpc::ClientContext context;
  Request request;
  Response response;
};

Peers::Peers(Identity identity, std::map<MemberName, std::string> addresses, Options options,
             const Clock& clock)
    : identity_(std::move(identity)), options_(std::move(options)), clock_(clock) {
  SetAddresses(std::move(addresses));
}

Peers::~Peers() { Stop(); }

void Peers::SetAddresses(std::map<MemberName, std::string> addresses) {
  addresses.erase(identity_.member);
  MutexLock lock(mutex_);
  addresses_ = std::move(addresses);
}

std::vector<MemberName> Peers::Others() {
  MutexLock lock(mutex_);
  std::vector<MemberName> others;
  others.reserve(addresses_.size());
  for (const auto& [name, address] : addresses_) others.push_back(name);
  return others;
}

std::unique_ptr<v1::ReplicationService::Stub> Peers::StubOf(const std::string& address) const {
  return v1::ReplicationService::NewStub(MemberChannel(address, options_.credentials));
}

template <typename Request, typename Response>
std::shared_ptr<Peers::Call<Request, Response>> Peers::Open(const MemberName& peer) {
  MutexLock lock(mutex_);
  const auto address = addresses_.find(peer);
  if (stopping_ || address == addresses_.end()) return nullptr;
  ++open_;
  std::shared_ptr<Call<Request, Response>> call(new Call<Request, Response>,
                                                [this](Call<Request, Response>* gone) {
                                                  delete gone;
                                                  MutexLock deleted(mutex_);
                                                  --open_;
                                                  idle_.SignalAll();
                                                });
  call->peer = peer;
  call->stub = StubOf(address->second);
  call->context.set_deadline(std::chrono::system_clock::now() + options_.timeout);
  under_way_.insert(&call->context);
  return call;
}

void Peers::Answered(grpc::ClientContext& context) {
  MutexLock lock(mutex_);
  under_way_.erase(&context);
}

void Peers::AskStates(const OnState& told) {
  for (const MemberName& peer : Others()) {
    const auto call = Open<v1::GetMemberRequest, v1::GetMemberResponse>(peer);
    if (call == nullptr) continue;
    auto answered = [this, call, told](const grpc::Status& status) {
      const v1::GetMemberResponse& answer = call->response;
      if (status.ok() && answer.member() == call->peer && answer.group() == identity_.group) {
        told(call->peer, {.position = {Epoch(answer.last_epoch()), LogOffset(answer.end())},
                          .highest_epoch = Epoch(answer.highest_epoch())});
      } else {
        log::Debug("{} does not say how it is: {}", call->peer, status.error_message());
      }
      Answered(call->context);
    };
    call->stub->async()->GetMember(&call->context, &call->request, &call->response,
                                   std::move(answered));
  }
}

void Peers::AskPromises(Epoch epoch, const OnPromise& told) {
  const std::string argument = std::to_string(epoch.value());
  for (const MemberName& peer : Others()) {
    const auto call = Open<v1::PromiseRequest, v1::PromiseResponse>(peer);
    if (call == nullptr) continue;
    call->request.set_group(identity_.group);
    call->request.set_candidate(identity_.member);
    call->request.set_epoch(epoch.value());
    *call->request.mutable_credential() =
        MakeCredential(identity_.secret, identity_.member,
                       {"Promise", identity_.group, peer, argument}, clock_.Now());
    auto answered = [this, call, told](const grpc::Status& status) {
      if (status.ok()) {
        told(call->peer, FromWire(call->response));
      } else {
        log::Warning("{} promises nothing: {}", call->peer, status.error_message());
      }
      Answered(call->context);
    };
    call->stub->async()->Promise(&call->context, &call->request, &call->response,
                                 std::move(answered));
  }
}

// It is asked for every quarter of a second while the coordinator is away: what has no answer makes
// no line, the driver says who is missing.
void Peers::AskPledges(Epoch epoch, Duration time, const OnPledge& told) {
  const v1::PledgeRequest request =
      ToWire(PledgeRequest{.master = identity_.member, .epoch = epoch, .time = time});
  for (const MemberName& peer : Others()) {
    const auto call = Open<v1::PledgeRequest, v1::PledgeResponse>(peer);
    if (call == nullptr) continue;
    call->request = request;
    call->request.set_group(identity_.group);
    *call->request.mutable_credential() =
        MakeCredential(identity_.secret, identity_.member,
                       {"Pledge", identity_.group, peer, ArgumentOf(request)}, clock_.Now());
    auto answered = [this, call, told](const grpc::Status& status) {
      if (status.ok()) {
        told(call->peer, FromWire(call->response));
      } else {
        log::Debug("{} pledges nothing: {}", call->peer, status.error_message());
      }
      Answered(call->context);
    };
    call->stub->async()->Pledge(&call->context, &call->request, &call->response,
                                std::move(answered));
  }
}

void Peers::Reach(const MemberName& peer, OnReached told) {
  const auto call = Open<v1::GetMemberRequest, v1::GetMemberResponse>(peer);
  if (call == nullptr) {
    return told(absl::NotFoundError(
        fmt::format("{} knows no other member {}, or stops", identity_.member, peer)));
  }
  // Whoever asked waits as long as for any other answer.
  call->context.set_deadline(std::chrono::system_clock::now() + options_.timeout / 2);
  auto answered = [this, call, told = std::move(told)](const grpc::Status& status) {
    const v1::GetMemberResponse& answer = call->response;
    absl::Status reached;
    if (!status.ok()) {
      reached = absl::UnavailableError(status.error_message());
    } else if (answer.member() != call->peer || answer.group() != identity_.group) {
      reached = absl::UnavailableError(fmt::format("at its address is member '{}' of group '{}'",
                                                   answer.member(), answer.group()));
    }
    Answered(call->context);
    told(reached);
  };
  call->stub->async()->GetMember(&call->context, &call->request, &call->response,
                                 std::move(answered));
}

namespace {

// Gathers what several have to say. Answers come on several threads.
class Verdict {
 public:
  Verdict(size_t answers, Peers::OnReached told) : missing_(answers), told_(std::move(told)) {}

  void Add(const std::string& problem) {
    absl::Status verdict;
    {
      MutexLock lock(mutex_);
      if (!problem.empty()) problems_ += (problems_.empty() ? "" : "; ") + problem;
      if (--missing_ > 0) return;
      if (!problems_.empty()) verdict = absl::UnavailableError(problems_);
    }
    told_(verdict);
  }

 private:
  Mutex mutex_;
  size_t missing_ ABSL_GUARDED_BY(mutex_);
  std::string problems_ ABSL_GUARDED_BY(mutex_);
  const Peers::OnReached told_;
};

}  // namespace

void Peers::AskReached(const std::vector<MemberName>& from, const MemberName& peer,
                       OnReached told) {
  if (from.empty()) return told(absl::OkStatus());
  const auto verdict = std::make_shared<Verdict>(from.size(), std::move(told));
  for (const MemberName& asked : from) {
    const auto call = Open<v1::ReachRequest, v1::ReachResponse>(asked);
    if (call == nullptr) {
      verdict->Add(asked + " is no member any more");
      continue;
    }
    call->request.set_group(identity_.group);
    call->request.set_member(peer);
    *call->request.mutable_credential() = MakeCredential(
        identity_.secret, identity_.member, {"Reach", identity_.group, asked, peer}, clock_.Now());
    auto answered = [this, call, peer, verdict](const grpc::Status& status) {
      std::string problem;
      if (!status.ok() && status.error_code() != grpc::StatusCode::UNIMPLEMENTED) {
        problem = fmt::format("{} does not say whether it reaches {}: {}", call->peer, peer,
                              status.error_message());
      } else if (!call->response.problem().empty()) {
        problem =
            fmt::format("{} does not reach {}: {}", call->peer, peer, call->response.problem());
      }
      Answered(call->context);
      verdict->Add(problem);
    };
    call->stub->async()->Reach(&call->context, &call->request, &call->response,
                               std::move(answered));
  }
}

void Peers::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  for (grpc::ClientContext* context : under_way_) context->TryCancel();
  while (open_ > 0) idle_.Wait(mutex_);
}

}  // namespace dunlin::replicator
