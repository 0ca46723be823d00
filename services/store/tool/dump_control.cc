#include "services/store/tool/dump_control.h"

#include <fmt/format.h>

#include <cstdio>

#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/strings.h"
#include "services/store/log/control_page.h"

namespace dunlin::store {
namespace {

const char* NameOf(Role role) {
  switch (role) {
    case Role::kNone:
      return "none";
    case Role::kSlave:
      return "slave";
    case Role::kMaster:
      return "master";
  }
  return "?";
}

const char* NameOf(BrokerState state) {
  switch (state) {
    case BrokerState::kStopped:
      return "stopped";
    case BrokerState::kSlave:
      return "slave";
    case BrokerState::kMaster:
      return "master";
    case BrokerState::kFailed:
      return "failed";
  }
  return "?";
}

const char* NameOf(Sends sends) {
  switch (sends) {
    case Sends::kNobodySaid:
      return "nobody-said";
    case Sends::kAccepted:
      return "accepted";
    case Sends::kTooFewInSync:
      return "too-few-in-sync";
    case Sends::kSwitchover:
      return "switchover";
  }
  return "?";
}

std::string Offset(LogOffset offset) {
  return offset == ControlPage::kEverything ? "everything" : std::to_string(offset.value());
}

std::string Lease(std::chrono::nanoseconds until) {
  if (until == ControlPage::kNoLease) return "none-needed";
  const std::chrono::duration<double> left = until - BootTime();
  return left.count() <= 0 ? "over" : fmt::format("{:.3f}s", left.count());
}

}  // namespace

int DumpControl(const std::string& store) {
  const auto opened = ControlPage::OpenForReading(RealFiles(), store + "/control");
  if (!opened.ok()) {
    fmt::print(stderr, "dunlin-dump: {}\n", FromAbsl(opened.status().message()));
    return 1;
  }
  const ControlPage& page = **opened;
  fmt::print("log      epoch={} start={} appended={} flushed={} cuts={}\n",
             page.log_epoch().value(), page.log_start().value(), page.appended().value(),
             page.flushed().value(), page.cuts());
  const Wanted wanted = page.wanted();
  if (wanted == Wanted()) {
    fmt::print("orders   none since this machine was started\n");
  } else {
    fmt::print(
        "orders   role={} epoch={} serial={} replicated={} lease-left={} sends={} "
        "master-start={}\n",
        NameOf(wanted.role), wanted.epoch.value(), wanted.serial, Offset(page.replicated()),
        Lease(page.lease_until()), NameOf(page.sends()), page.master_start().value());
  }
  if (const MemberStanding member = page.member(); member != MemberStanding()) {
    fmt::print("member   id={}{}\n", member.id, member.learner ? " learner" : "");
  }
  const Reported reported = page.reported();
  fmt::print("answers  state={} serial={} viewed={} shown={} heartbeat={}\n",
             NameOf(reported.state), reported.serial, page.viewed().value(), Offset(page.shown()),
             page.heartbeat());
  return 0;
}

}  // namespace dunlin::store
