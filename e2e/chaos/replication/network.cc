#include "e2e/chaos/replication/network.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <unistd.h>

#include <utility>

#include "e2e/harness/program.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

constexpr char kNobody[] = "02:00:00:00:00:00";
constexpr int kFirstNumber = 10;  // of the last byte of machine 0's address
constexpr uint32_t kNetwork = (10U << 24) | (78U << 16);

// Whether an interface of this machine has an address in 10.78.`number`.0/24.
bool IsTaken(uint32_t number) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return false;
  bool taken = false;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    const uint32_t address =
        ntohl(reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr.s_addr);
    taken |= (address >> 8) == ((kNetwork >> 8) | number);
  }
  freeifaddrs(all);
  return taken;
}

}  // namespace

Network::Network(std::string prefix, std::string subnet, int machines, std::string log)
    : prefix_(std::move(prefix)),
      subnet_(std::move(subnet)),
      machines_(machines),
      log_(std::move(log)) {}

absl::StatusOr<std::unique_ptr<Network>> Network::Make(int machines, const std::string& log) {
  if (geteuid() != 0) {
    return absl::FailedPreconditionError("network namespaces need root: run this as root");
  }
  const auto pid = static_cast<uint32_t>(getpid());
  for (uint32_t i = 0; i < 256; ++i) {
    const uint32_t number = (pid + i) % 256;
    if (IsTaken(number)) continue;
    auto network = std::unique_ptr<Network>(
        new Network(fmt::format("chaos{}", pid), fmt::format("10.78.{}", number), machines, log));
    RETURN_IF_ERROR(network->Build());
    return network;
  }
  return absl::FailedPreconditionError("all of 10.78.0.0/16 is in use on this machine");
}

Network::~Network() {
  // What was not made cannot be removed, and what cannot be removed here nobody can help.
  for (int i = 0; i < machines_; ++i) (void)Ip({"netns", "delete", Namespace(i)});
  (void)Ip({"link", "delete", prefix_});
}

absl::Status Network::Build() {
  RETURN_IF_ERROR(Ip({"link", "add", prefix_, "type", "bridge"}));
  RETURN_IF_ERROR(Ip({"addr", "add", Address(kHost) + "/24", "dev", prefix_}));
  RETURN_IF_ERROR(Ip({"link", "set", prefix_, "up"}));
  for (int i = 0; i < machines_; ++i) RETURN_IF_ERROR(Add(i));
  return absl::OkStatus();
}

absl::Status Network::Add(int machine) {
  const std::string name = Namespace(machine);
  RETURN_IF_ERROR(Ip({"netns", "add", name}));
  // An interface and a namespace may have the same name.
  RETURN_IF_ERROR(Ip({"link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name}));
  RETURN_IF_ERROR(Ip({"link", "set", name, "master", prefix_, "up"}));
  RETURN_IF_ERROR(Ip({"-n", name, "addr", "add", Address(machine) + "/24", "dev", "eth0"}));
  RETURN_IF_ERROR(Ip({"-n", name, "link", "set", "eth0", "up"}));
  return Ip({"-n", name, "link", "set", "lo", "up"});
}

std::string Network::Address(int machine) const {
  return fmt::format("{}.{}", subnet_, machine == kHost ? 1 : kFirstNumber + machine);
}

std::string Network::Namespace(int machine) const { return fmt::format("{}-{}", prefix_, machine); }

std::vector<std::string> Network::On(int machine) const {
  return {"ip", "netns", "exec", Namespace(machine)};
}

absl::Status Network::Ip(std::vector<std::string> words) const {
  words.insert(words.begin(), "ip");
  return RunTool(words, log_);
}

absl::Status Network::Neighbour(int from, int to, const std::string& verb) {
  std::vector<std::string> words;
  if (from != kHost) words = {"-n", Namespace(from)};
  const std::string device = from == kHost ? prefix_ : "eth0";
  words.insert(words.end(), {"neigh", verb, Address(to), "dev", device});
  if (verb == "replace") words.insert(words.end(), {"lladdr", kNobody, "nud", "permanent"});
  return Ip(std::move(words));
}

absl::Status Network::Cut(int from, int to) {
  if (!cuts_.emplace(from, to).second) return absl::OkStatus();
  return Neighbour(from, to, "replace");
}

absl::Status Network::CutBothWays(int one, int other) {
  RETURN_IF_ERROR(Cut(one, other));
  return Cut(other, one);
}

absl::Status Network::Mend(int from, int to) {
  if (cuts_.erase({from, to}) == 0) return absl::OkStatus();
  return Neighbour(from, to, "delete");
}

absl::Status Network::Heal() {
  for (const auto& [from, to] : std::set(cuts_)) RETURN_IF_ERROR(Mend(from, to));
  return absl::OkStatus();
}

}  // namespace dunlin::e2e
