#include "services/broker/member/standing.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace dunlin::broker {
namespace {

// "a=host:1, b=host:2" and "a, b" as the names that they begin with.
std::vector<std::string> NamesIn(const std::string& list) {
  std::vector<std::string> names = absl::StrSplit(list, ',', absl::SkipWhitespace());
  for (std::string& name : names) {
    name.resize(std::min(name.size(), name.find('=')));
    absl::StripAsciiWhitespace(&name);
  }
  return names;
}

}  // namespace

absl::StatusOr<Broker::Standing> StandingOf(const config::v1::ReplicationConfig& config,
                                            store::MemberStanding said) {
  Broker::Standing standing;
  if (said.id != 0) {
    standing.role = said.learner ? nameservice::v1::LEARNER : nameservice::v1::SLAVE;
    standing.id = said.id;
    return standing;
  }
  const std::vector<std::string> members = NamesIn(config.members());
  const auto place = std::find(members.begin(), members.end(), config.member());
  if (place == members.end()) {
    return absl::UnavailableError(fmt::format(
        "replication.member is \"{}\", which is not in replication.members: \"{}\"; the record of "
        "the group has to say what it is",
        config.member(), config.members()));
  }
  const std::vector<std::string> learners = NamesIn(config.learners());
  const bool learns = std::find(learners.begin(), learners.end(), *place) != learners.end();
  standing.role = learns ? nameservice::v1::LEARNER : nameservice::v1::SLAVE;
  standing.id = static_cast<uint32_t>(place - members.begin()) + 1;
  return standing;
}

}  // namespace dunlin::broker
