#include "services/broker/rpc/other_brokers.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/call_checks.h"
#include "services/broker/rpc/call_context.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

absl::Status Because(const absl::Status& refusal, std::string_view reason) {
  return PublicError(CodeOf(refusal), fmt::format("{}; it was not passed on: {}",
                                                  FromAbsl(refusal.message()), reason));
}

}  // namespace

struct OtherBrokers::Question {
  Relay::Caller caller;
  Destination to;
  const char* method;
  absl::Status refusal;
  Found found;
};

OtherBrokers::OtherBrokers(const Options& options)
    : group_(options.group),
      is_master_(options.is_master),
      relay_(limits_, options.credentials),
      routes_(options.name_services, options.credentials) {}

bool OtherBrokers::Enter(Relay::Kind kind, uint64_t bytes) {
  const size_t most = kind == Relay::Kind::kPoll ? limits_.polls : limits_.calls;
  MutexLock lock(mutex_);
  Waiting& waiting = waiting_[static_cast<size_t>(kind)];
  if (waiting.calls > 0 && (waiting.calls >= most || waiting.bytes + bytes > limits_.bytes)) {
    return false;
  }
  ++waiting.calls;
  waiting.bytes += bytes;
  return true;
}

void OtherBrokers::Leave(Relay::Kind kind, uint64_t bytes) {
  MutexLock lock(mutex_);
  Waiting& waiting = waiting_[static_cast<size_t>(kind)];
  --waiting.calls;
  waiting.bytes -= bytes;
}

void OtherBrokers::Find(const Request& request, Destination to, const absl::Status& refusal,
                        Found found) {
  const CallContext context = ReadCallContext(request.context);
  Relay::Caller caller = Relay::CallerOf(request.context);
  if (caller.was_passed_on || !CheckClientId(context).ok() ||
      !CheckTopicName(context, to.topic).ok()) {
    return found(refusal, caller);
  }
  const uint64_t bytes = request.bytes.Length();
  const Relay::Kind kind = KindOf(request.method);
  if (!Enter(kind, bytes)) {
    const char* const why =
        "too many requests wait to be passed on at this time; try again later, or ask for the "
        "route, and go to the broker that it names";
    return found(kind == Relay::Kind::kPoll ? Because(refusal, why)
                                            : PublicError(PublicCode::kTooManyRequests, why),
                 caller);
  }
  to.topic.set_resource_namespace(std::string(NamespaceOf(context, to.topic)));
  const v2::Resource topic = to.topic;
  auto question = std::make_shared<Question>(
      Question{std::move(caller), std::move(to), request.method, refusal, std::move(found)});
  routes_.Query(topic, {context.zone},
                [this, kind, bytes, question](const absl::StatusOr<ClusterRoutes::Route>& route) {
                  Leave(kind, bytes);
                  question->found(FindIn(route, *question), question->caller);
                });
}

void OtherBrokers::Pass(const Request& request, Destination to, const absl::Status& refusal,
                        Done done) {
  Find(request, std::move(to), refusal,
       [this, method = request.method, &bytes = request.bytes, done = std::move(done)](
           const absl::StatusOr<Holder>& holder, const Relay::Caller& caller) mutable {
         if (!holder.ok()) return done(holder.status(), {});
         relay_.Pass(holder->address, PublicMethod(method), caller, bytes,
                     [holder = *holder, done = std::move(done)](
                         const grpc::Status& status, const grpc::ByteBuffer& answer) mutable {
                       if (!status.ok()) return done(NotPassedOn(holder, status), {});
                       done(absl::OkStatus(), answer);
                     });
       });
}

Holders OtherBrokers::HoldersIn(const ClusterRoutes::Route& route, const Destination& to) const {
  Holders holders;
  for (const v2::MessageQueue& queue : route.message_queues()) {
    holders[queue.broker().name()] = AddressOf(queue.broker().endpoints());
  }
  const auto own = holders.find(group_);
  if (own == holders.end()) return holders;
  if (is_master_) {
    holders.erase(own);
  } else if (to.NamesNone()) {
    return {*own};  // a client that was at the master lately
  }
  return holders;
}

absl::StatusOr<Holder> OtherBrokers::FindIn(const absl::StatusOr<ClusterRoutes::Route>& route,
                                            const Question& question) const {
  if (!route.ok()) {
    return Because(question.refusal, fmt::format("no name service tells the route: {}",
                                                 FromAbsl(route.status().message())));
  }
  const Holders holders = HoldersIn(*route, question.to);
  if (holders.empty()) {
    return Because(question.refusal,
                   fmt::format("no name service knows another broker that has topic {}",
                               question.to.topic.name()));
  }
  absl::StatusOr<Holder> chosen = ChooseHolder(holders, question.to, question.method);
  if (!chosen.ok()) return Because(question.refusal, FromAbsl(chosen.status().message()));
  return chosen;
}

}  // namespace dunlin::broker
