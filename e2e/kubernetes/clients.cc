// clients: of a cluster, that send while it is broken, by several ways at a time; and a check of
// what is there in the end.
//
// A line on standard input ends a window: a line of JSON says how many messages each way had
// acknowledged in it, and for how long none. After the last line the loads end, and all topics are
// read back: the exit status is 0 when every acknowledged message is there and nothing else is
// wrong. Topics, one for each way and named like it, have to be there, with kQueues queues.

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "e2e/harness/broker.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/kubernetes/sdk_senders.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Line = nlohmann::ordered_json;

constexpr uint32_t kProducersOfAddress = 2;
constexpr milliseconds kPause{20};
constexpr milliseconds kDeadline{2000};

double Seconds(steady_clock::duration time) { return std::chrono::duration<double>(time).count(); }

// Clients that take one of several addresses each; or those of the SDK, of one address.
class Way {
 public:
  Way(std::string name, const std::string& address)
      : name_(std::move(name)),
        history_(kProducersOfAddress),
        sdk_(std::make_unique<SdkSenders>(address, name_, history_)) {}

  Way(std::string name, const std::vector<std::string>& addresses)
      : name_(std::move(name)),
        history_(static_cast<uint32_t>(addresses.size()) * kProducersOfAddress) {
    for (const std::string& address : addresses) {
      loads_.push_back(std::make_unique<Load>(
          LoadOptions{.address = address,
                      .topic = name_,
                      .channels = 1,
                      .first_producer = static_cast<uint32_t>(loads_.size()) * kProducersOfAddress,
                      .producers = kProducersOfAddress,
                      .pause = kPause,
                      .goes_on = true,
                      .deadline = kDeadline},
          history_));
    }
  }

  absl::Status Start() {
    Begin(steady_clock::now());
    for (const auto& load : loads_) load->Start();
    return sdk_ == nullptr ? absl::OkStatus() : sdk_->Start();
  }

  void Look(steady_clock::time_point now) {
    const uint64_t acknowledged = sdk_ == nullptr ? history_.acknowledged() : sdk_->acknowledged();
    longest_ = std::max(longest_, now - last_);
    if (acknowledged == acknowledged_) return;
    acknowledged_ = acknowledged;
    last_ = now;
  }

  // What there was since the last time.
  Line EndWindow(steady_clock::time_point now) {
    Line line = {{"acknowledged", acknowledged_ - before_}, {"longest_pause_s", Seconds(longest_)}};
    Begin(now);
    return line;
  }

  // How it is in the end, read from `address`.
  Line Check(const std::string& address, absl::Status& status) {
    uint64_t refused = 0;
    std::string refusal;
    for (const auto& load : loads_) {
      const LoadResult result = load->Stop();
      refused += result.refused;
      if (refusal.empty()) refusal = result.refusal;
    }
    if (sdk_ != nullptr) {
      sdk_->Stop();
      refused = sdk_->refused();
      refusal = sdk_->FirstRefusal();
    }
    HistoryCheck check(
        history_, kQueues,
        sdk_ == nullptr ? HistoryCheck::Ids::kOfSenders : HistoryCheck::Ids::kOfBroker);
    const absl::Status read = ReadBack(address, name_, check);
    status.Update(read);
    return {{"sent", history_.sent()},
            {"acknowledged", history_.acknowledged()},
            {"refused", refused},
            {"first_refusal", refusal},
            {"missing", check.Missing()},
            {"verdict", read.ok() ? "nothing is wrong" : std::string(read.message())}};
  }

  const std::string& Name() const { return name_; }

 private:
  void Begin(steady_clock::time_point now) {
    before_ = acknowledged_;
    longest_ = {};
    last_ = now;
  }

  const std::string name_;
  History history_;
  std::vector<std::unique_ptr<Load>> loads_;
  std::unique_ptr<SdkSenders> sdk_;
  uint64_t acknowledged_ = 0;
  uint64_t before_ = 0;  // the window
  steady_clock::time_point last_;
  steady_clock::duration longest_{};
};

enum class Input { kNothing, kLine, kEnd };

// What has come on standard input, within a moment.
Input AwaitInput() {
  constexpr int kStepMs = 10;
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (poll(&input, 1, kStepMs) <= 0) return Input::kNothing;
  char character = 0;
  if (read(STDIN_FILENO, &character, 1) <= 0) return Input::kEnd;
  return character == '\n' ? Input::kLine : Input::kNothing;
}

void Print(const Line& line) {
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);  // somebody waits for it
}

int Run(std::vector<std::unique_ptr<Way>>& ways, const std::string& reader) {
  for (const auto& way : ways) {
    if (const absl::Status started = way->Start(); !started.ok()) {
      fmt::print(stderr, "{}: {}\n", way->Name(), started.ToString());
      return 1;
    }
  }
  auto begun = steady_clock::now();
  for (;;) {
    const Input input = AwaitInput();
    const auto now = steady_clock::now();
    for (const auto& way : ways) way->Look(now);
    if (input == Input::kEnd) break;
    if (input == Input::kNothing) continue;
    Line window = {{"seconds", Seconds(now - begun)}};
    for (const auto& way : ways) window[way->Name()] = way->EndWindow(now);
    begun = now;
    Print(window);
  }
  absl::Status status;
  Line end;
  for (const auto& way : ways) end[way->Name()] = way->Check(reader, status);
  Print(end);
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) {
  CLI::App app("Clients of a cluster that send while it is broken; every message is checked");
  std::vector<std::string> texts;
  std::string sdk;
  std::string reader;
  app.add_option("--way", texts, "NAME=ADDRESS[,ADDRESS ...]: a topic, and where its clients send")
      ->required();
  app.add_option("--sdk", sdk, "NAME=ADDRESS: a topic, and the access point of the SDK for C++");
  app.add_option("--reader", reader, "Where all is read back in the end")->required();
  CLI11_PARSE(app, argc, argv);
  std::vector<std::unique_ptr<dunlin::e2e::Way>> ways;
  using NameAndAddresses = std::pair<std::string, std::string>;
  for (const std::string& text : texts) {
    const NameAndAddresses way = absl::StrSplit(text, absl::MaxSplits('=', 1));
    ways.push_back(std::make_unique<dunlin::e2e::Way>(
        way.first, std::vector<std::string>(absl::StrSplit(way.second, ','))));
  }
  if (!sdk.empty()) {
    const NameAndAddresses way = absl::StrSplit(sdk, absl::MaxSplits('=', 1));
    ways.push_back(std::make_unique<dunlin::e2e::Way>(way.first, way.second));
  }
  return dunlin::e2e::Run(ways, reader);
}
