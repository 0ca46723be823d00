// A producer, in a process of its own: it begins transactions, decides, ends them or forgets to,
// says how others ended, and dies.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dunlin::e2e::transactions {

inline constexpr char kTopic[] = "transactions";

// An item, as the body of its message says.
std::string BodyOf(int32_t item);
// Nullopt when the body is not one of the bench.
std::optional<int32_t> ItemOf(std::string_view body);

struct MemberOptions {
  std::string address;
  std::string ledger;  // its file
  unsigned number = 0;
};

// The command line of a member, and what it says; false when it is not the one of a member.
std::vector<std::string> CommandLine(const std::string& program, const MemberOptions& options);
bool ParseMember(int argc, char** argv, MemberOptions& options);

// Works until SIGTERM, then leaves in good order; ends with its parent. The exit status.
int RunMember(const MemberOptions& options);

}  // namespace dunlin::e2e::transactions
