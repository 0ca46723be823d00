#include "services/broker/rpc/holders.h"

#include <fmt/format.h>

#include <vector>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

std::string NamesOf(const Holders& holders) {
  std::string names;
  for (const auto& [name, address] : holders) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace

std::string AddressOf(const apache::rocketmq::v2::Endpoints& endpoints) {
  if (endpoints.addresses().empty()) return "";
  const apache::rocketmq::v2::Address& address = endpoints.addresses(0);
  const bool is_ipv6 = address.host().find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", address.host(), address.port())
                 : fmt::format("{}:{}", address.host(), address.port());
}

absl::StatusOr<Holder> ChooseHolder(const Holders& holders, const Destination& to,
                                    std::string_view method) {
  std::vector<Holder> meant;
  for (const auto& [name, address] : holders) {
    if (to.NamesNone() || to.Means(name)) meant.push_back({name, address});
  }
  if (meant.size() == 1) return meant[0];
  if (meant.empty()) {
    return PublicError(
        PublicCode::kHaNotAvailable,
        fmt::format("broker {} cannot be reached now, or has no topic {}: {} have it",
                    to.broker.empty() ? "of the message" : to.broker, to.topic.name(),
                    NamesOf(holders)));
  }
  return PublicError(
      PublicCode::kNotImplemented,
      fmt::format("topic {} is at several brokers ({}), and a {} does not say which one it is for: "
                  "send it to the broker that the message is at, or is to go to (QueryRoute)",
                  to.topic.name(), NamesOf(holders), method));
}

std::string PublicMethod(std::string_view name) {
  return fmt::format("/apache.rocketmq.v2.MessagingService/{}", name);
}

absl::Status NotPassedOn(const Holder& holder, const grpc::Status& status) {
  const std::string text =
      fmt::format("broker {} at {} does not answer what was passed on to it: {}", holder.broker,
                  holder.address, status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return PublicError(PublicCode::kTooManyRequests, text);
    case grpc::StatusCode::INVALID_ARGUMENT:
      return PublicError(PublicCode::kBadRequest, text);
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return PublicError(PublicCode::kProxyTimeout, text);
    default:
      return PublicError(PublicCode::kInternalServerError, text);
  }
}

}  // namespace dunlin::broker
