#include "services/broker/rpc/admin_answers.h"

#include <algorithm>

#include "services/base/log.h"
#include "services/broker/admission/text.h"
#include "services/broker/topics/qualified_name.h"

namespace dunlin::broker {
namespace {

constexpr std::string_view kRequest = "Request";

template <typename Items, typename IsGone>
void Erase(Items& items, IsGone is_gone) {
  items.erase(std::remove_if(items.begin(), items.end(), is_gone), items.end());
}

}  // namespace

void LogChange(std::string_view request, std::string_view object, const Caller& caller,
               const std::string& peer, const absl::Status& outcome) {
  if (request.starts_with("Get") || request.starts_with("List")) return;
  if (request.ends_with(kRequest)) request.remove_suffix(kRequest.size());
  log::Info("{}{}{} by {} from {}{}{}", request, object.empty() ? "" : " ",
            object.empty() ? std::string() : Quoted(object),
            caller.user == nullptr ? "anybody" : "user " + caller.user->name, peer,
            outcome.ok() ? "" : " failed: ", outcome.ok() ? std::string() : outcome.ToString());
}

void LeaveOutDenied(const AccessControl& access, const Caller& caller,
                    admin::v1::ListTopicsResponse& response) {
  Erase(*response.mutable_topics(), [&](const admin::v1::Topic& topic) {
    return access.IsDenied(caller,
                           TopicNeed(BitOf(Action::kList), topic.namespace_(), topic.name()));
  });
}

void LeaveOutDenied(const AccessControl& access, const Caller& caller,
                    admin::v1::ListGroupsResponse& response) {
  Erase(*response.mutable_groups(), [&](const admin::v1::Group& group) {
    return access.IsDenied(caller,
                           GroupNeed(BitOf(Action::kList), group.namespace_(), group.name()));
  });
}

void LeaveOutDenied(const AccessControl& access, const Caller& caller,
                    admin::v1::ListDeadLettersResponse& response) {
  Erase(*response.mutable_groups(), [&](const admin::v1::DeadLetterStatus& status) {
    return access.IsDenied(caller,
                           GroupNeed(BitOf(Action::kList), status.namespace_(), status.group()));
  });
}

void LeaveOutDenied(const AccessControl& access, const Caller& caller,
                    admin::v1::ListTransactionsResponse& response) {
  Erase(*response.mutable_transactions(), [&](const admin::v1::Transaction& transaction) {
    const auto [name_space, name] = SplitQualifiedName(transaction.topic());
    return access.IsDenied(caller, TopicNeed(BitOf(Action::kList), name_space, name));
  });
}

}  // namespace dunlin::broker
