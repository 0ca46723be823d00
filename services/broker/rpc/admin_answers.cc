#include "services/broker/rpc/admin_answers.h"

#include <algorithm>
#include <utility>

#include "services/base/log.h"
#include "services/broker/admission/text.h"
#include "services/broker/topics/qualified_name.h"

namespace dunlin::broker {
namespace {

constexpr std::string_view kRequest = "Request";

// Messages may repeat what was asked for: on one line, and not all of it.
std::string TextOf(const absl::Status& outcome) {
  constexpr size_t kMost = 500;
  const std::string text = outcome.ToString();
  return HasControlCharacter(text) || text.size() > kMost ? Quoted(text) : text;
}

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
            outcome.ok() ? "" : " failed: ", outcome.ok() ? std::string() : TextOf(outcome));
}

Hidden DeniedTopics(const AccessControl& access, Caller caller) {
  return [&access, caller = std::move(caller)](std::string_view name_space, std::string_view name) {
    return access.IsDenied(caller, TopicNeed(BitOf(Action::kList), name_space, name));
  };
}

Hidden DeniedGroups(const AccessControl& access, Caller caller) {
  return [&access, caller = std::move(caller)](std::string_view name_space, std::string_view name) {
    return access.IsDenied(caller, GroupNeed(BitOf(Action::kList), name_space, name));
  };
}

void LeaveOutDenied(const AccessControl& access, const Caller& caller,
                    const admin::v1::ListDeadLettersRequest& /*request*/,
                    admin::v1::ListDeadLettersResponse& response) {
  Erase(*response.mutable_groups(), [&](const admin::v1::DeadLetterStatus& status) {
    return access.IsDenied(caller,
                           GroupNeed(BitOf(Action::kList), status.namespace_(), status.group()));
  });
}

void LeaveOutDenied(const AccessControl& access, const Caller& caller,
                    const admin::v1::ListTransactionsRequest& request,
                    admin::v1::ListTransactionsResponse& response) {
  if (!request.topic().empty()) return;  // it was looked at whether the caller may see this one
  Erase(*response.mutable_transactions(), [&](const admin::v1::Transaction& transaction) {
    const auto [name_space, name] = SplitQualifiedName(transaction.topic());
    return access.IsDenied(caller, TopicNeed(BitOf(Action::kList), name_space, name));
  });
}

}  // namespace dunlin::broker
