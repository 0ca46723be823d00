// A member of the consumer group, in a process of its own: it fails, forgets, repeats, and dies.

#pragma once

#include <string>
#include <vector>

namespace dunlin::e2e::fifo {

inline constexpr char kTopic[] = "fifo";
inline constexpr char kGroup[] = "ordered";
// A lease; the broker is told to allow one that short.
inline constexpr int kLeaseSeconds = 1;

struct MemberOptions {
  bool streams = false;  // Subscribe by the C++ SDK, or else ReceiveMessage
  std::string address;
  std::string ledger;  // its file
  unsigned number = 0;
};

// The command line of a member, and what it says; false when it is not the one of a member.
std::vector<std::string> CommandLine(const std::string& program, const MemberOptions& options);
bool ParseMember(int argc, char** argv, MemberOptions& options);

// Consumes until SIGTERM, then leaves in good order; ends with its parent. The exit status.
int RunMember(const MemberOptions& options);

}  // namespace dunlin::e2e::fifo
