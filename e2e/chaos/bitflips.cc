// bitflips: single bits of a stopped store change, in records of the log and in the files derived
// from it; then it is verified, started and read. No changed byte may be served, nothing may be
// missing that was not reported, and the server may not crash. Damage of derived files may end it,
// if it says so and the next start rebuilds them.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "e2e/harness/broker.h"
#include "e2e/harness/client.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/harness/payload.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

namespace fs = std::filesystem;

constexpr int kFlips = 1000;
constexpr int kQuickFlips = 90;
constexpr uint32_t kProducers = 16;
constexpr size_t kBodyBytes = 300;
constexpr char kGroup[] = "group";
constexpr std::array<const char*, 2> kTopics = {"one", "two"};
// Flips of one round in the log, each in a record of its own and so told apart; a flip in the
// derived files has a round to itself.
constexpr int kLogFlipsPerRound = 8;
// docs/formats/commit_log.md: the parts that are needed to walk over records.
constexpr uint64_t kHeaderBytes = 56;
constexpr uint64_t kAlignment = 8;
constexpr size_t kKindAt = 8;
constexpr uint8_t kMessage = 1;
constexpr uint8_t kPadding = 7;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A record of the log as it lies in its segment.
struct Extent {
  std::string file;    // below the data directory
  uint64_t begin = 0;  // in the file
  uint64_t length = 0;
  uint64_t log_offset = 0;
  bool is_message = false;
};

// All records of a sound segment.
void WalkSegment(const std::string& data_dir, const std::string& file,
                 std::vector<Extent>& extents) {
  const std::string bytes = ReadFile(data_dir + "/" + file);
  const uint64_t base = std::stoull(fs::path(file).filename());
  for (uint64_t at = 0; at + kHeaderBytes <= bytes.size();) {
    uint32_t length = 0;
    std::copy_n(bytes.data() + at, sizeof(length), reinterpret_cast<char*>(&length));
    const auto kind = static_cast<uint8_t>(bytes[at + kKindAt]);
    if (length < kHeaderBytes || at + length > bytes.size()) return;
    extents.push_back(
        {file, at, kind == kPadding ? kHeaderBytes : length, base + at, kind == kMessage});
    if (kind == kPadding) return;
    at += (length + kAlignment - 1) / kAlignment * kAlignment;
  }
}

absl::Status FlipBit(const std::string& path, uint64_t byte, int bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(byte));
  const int value = file.get();
  file.seekp(static_cast<std::streamoff>(byte));
  file.put(static_cast<char>(value ^ (1 << bit)));
  file.flush();
  if (!file.good()) return absl::UnavailableError("cannot change " + path);
  return absl::OkStatus();
}

using QueueContents = std::map<int64_t, Identity>;  // by offset
using Contents = std::map<std::pair<std::string, uint32_t>, QueueContents>;

// Everything that is served; DATA_LOSS when a message is not one that was sent, byte by byte.
absl::StatusOr<Contents> ReadAll(const std::string& address) {
  V2Client client(address);
  Contents contents;
  for (const std::string topic : kTopics) {
    for (uint32_t queue = 0; queue < kQueues; ++queue) {
      const QueueName name{topic, queue};
      QueueContents& held = contents[{topic, queue}];
      ASSIGN_OR_RETURN(const int64_t end, client.EndOffset(name));
      for (int64_t at = 0; at < end;) {
        absl::StatusOr<int64_t> next = client.Pull(name, at, [&](const v2::Message& message) {
          const int64_t offset = message.system_properties().queue_offset();
          const std::optional<Identity> identity = ReadPayload(message.body());
          if (!identity.has_value() ||
              message.system_properties().message_id() != MessageIdOf(*identity) ||
              message.topic().name() != topic || !held.emplace(offset, *identity).second) {
            return absl::DataLossError(
                fmt::format("a wrong message is served: {} queue {} offset {}: {}", topic, queue,
                            offset, message.system_properties().ShortDebugString()));
          }
          return absl::OkStatus();
        });
        RETURN_IF_ERROR(next.status());
        if (*next == at) {
          return absl::InternalError(fmt::format(
              "{} queue {}: the end is {}, but a pull stays at {}", topic, queue, end, at));
        }
        at = *next;
      }
    }
  }
  return contents;
}

struct Flip {
  std::string file;
  uint64_t byte = 0;
  int bit = 0;
  const Extent* record = nullptr;  // of a flip in the log
};

std::string Describe(const std::vector<Flip>& flips) {
  std::string text;
  for (const Flip& flip : flips) {
    text += fmt::format("{}{} byte {} bit {}", text.empty() ? "" : ", ", flip.file, flip.byte,
                        flip.bit);
  }
  return text;
}

class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : arguments_(arguments),
        flips_(arguments.count > 0 ? arguments.count
               : arguments.quick   ? kQuickFlips
                                   : kFlips),
        random_(arguments.seed),
        pristine_(arguments.directory + "/pristine"),
        work_(arguments.directory + "/work") {}

  absl::Status Run() {
    RETURN_IF_ERROR(Fill());
    RETURN_IF_ERROR(FindTargets());
    for (int round = 0; done_ < flips_; ++round) {
      const std::vector<Flip> flips = round % 2 == 0 ? ChooseInLog() : ChooseInView();
      const absl::Status status = Round(flips);
      if (!status.ok()) {
        return absl::Status(status.code(),
                            fmt::format("{}: {}", Describe(flips), std::string(status.message())));
      }
      done_ += static_cast<int>(flips.size());
      if (round % 20 == 19) Progress(fmt::format("{} of {} flips", done_, flips_));
    }
    return absl::OkStatus();
  }

  Result Summary() const {
    Result result{.bench = "bitflips",
                  .metric = "flipped bits without a wrong byte served, a silent loss or a crash",
                  .value = static_cast<double>(done_),
                  .unit = "flips",
                  .bound = static_cast<double>(flips_)};
    result.detail["flips_in_log_records"] = log_flips_;
    result.detail["found_by_verify"] = found_by_verify_;
    result.detail["found_by_server_only"] = found_by_server_;
    result.detail["flips_in_derived_files"] = view_flips_;
    result.detail["starts_refused_with_an_error"] = refused_;
    result.detail["damage_reported_then_healed_by_restart"] = healed_;
    result.detail["of_these_server_ended_itself"] = aborted_;
    result.detail["messages_lost_and_reported"] = lost_;
    result.detail["messages_served_exactly"] = served_;
    return result;
  }

 private:
  BrokerOptions Broker(const std::string& data_dir, const std::string& name) const {
    return {.program = arguments_.dunlin,
            .data_dir = data_dir,
            .stderr_file = arguments_.directory + "/" + name,
            .segment_bytes = uint64_t{1} << 20};
  }

  // A store with messages in several segments and the progress of a group, stopped cleanly.
  absl::Status Fill() {
    ASSIGN_OR_RETURN(const std::unique_ptr<Program> program,
                     StartBroker(Broker(pristine_, "fill.log")));
    V2Client client(program->address());
    for (const std::string topic : kTopics) {
      History history(kProducers);
      LoadOptions options{.address = program->address(), .topic = topic};
      options.body_bytes = kBodyBytes;
      Load load(options, history);
      load.Start();
      while (BytesOf(history) < (uint64_t{3} << 19)) {
        load.Wait(std::chrono::milliseconds(20));
        RETURN_IF_ERROR(program->CheckRunning());
      }
      const LoadResult result = load.Stop();
      if (result.refused + result.broken > 0) {
        return absl::InternalError("a send failed: " + result.refusal);
      }
      HistoryCheck check(history, kQueues);
      RETURN_IF_ERROR(ReadBack(program->address(), topic, check));
      for (uint32_t queue = 0; queue < kQueues; ++queue) {
        RETURN_IF_ERROR(client.UpdateOffset(kGroup, {topic, queue}, queue + 1));
      }
    }
    ASSIGN_OR_RETURN(expected_, ReadAll(program->address()));
    return program->Stop();
  }

  static uint64_t BytesOf(const History& history) { return history.sent() * kBodyBytes; }

  absl::Status FindTargets() {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(pristine_)) {
      if (!entry.is_regular_file() || entry.file_size() == 0) continue;
      const std::string file = fs::relative(entry.path(), pristine_);
      if (file.starts_with("store/log/")) {
        WalkSegment(pristine_, file, records_);
      } else {
        view_files_.emplace_back(file, entry.file_size());
      }
    }
    size_t messages = 0;
    for (const Extent& record : records_) messages += record.is_message ? 1 : 0;
    size_t readable = 0;
    for (const auto& [queue, held] : expected_) readable += held.size();
    Progress(fmt::format("{} records, {} of them messages, {} readable; {} other files",
                         records_.size(), messages, readable, view_files_.size()));
    if (messages != readable || view_files_.empty()) {
      return absl::InternalError("the store does not look as docs/formats says");
    }
    return absl::OkStatus();
  }

  uint64_t Below(uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random_);
  }

  std::vector<Flip> ChooseInLog() {
    std::vector<const Extent*> chosen;
    for (const Extent& record : records_) chosen.push_back(&record);
    std::shuffle(chosen.begin(), chosen.end(), random_);
    chosen.resize(static_cast<size_t>(std::min(kLogFlipsPerRound, flips_ - done_)));
    std::vector<Flip> flips;
    for (const Extent* record : chosen) {
      flips.push_back({record->file, record->begin + Below(record->length),
                       static_cast<int>(Below(8)), record});
    }
    return flips;
  }

  std::vector<Flip> ChooseInView() {
    const auto& [file, size] = view_files_[Below(view_files_.size())];
    return {{file, Below(size), static_cast<int>(Below(8)), nullptr}};
  }

  absl::Status Round(const std::vector<Flip>& flips) {
    fs::remove_all(work_);
    fs::copy(pristine_, work_, fs::copy_options::recursive);
    fs::remove(arguments_.directory + "/round.log");
    for (const Flip& flip : flips) {
      RETURN_IF_ERROR(FlipBit(work_ + "/" + flip.file, flip.byte, flip.bit));
    }
    const std::vector<std::pair<uint64_t, uint64_t>> damaged = Verify();
    std::unique_ptr<Program> program;
    absl::StatusOr<Contents> contents = StartAndRead(program);
    if (!contents.ok() && flips[0].record == nullptr && LogSays("a restart rebuilds it")) {
      // Damage of derived files that shows only when they are read: an error, or the server ends
      // itself rather than give out a wrong offset, and the next start rebuilds them.
      ++healed_;
      if (absl::IsInternal(contents.status())) ++aborted_;
      if (program != nullptr) RETURN_IF_ERROR(StopInOrder(*program));
      contents = StartAndRead(program);
    }
    if (program == nullptr && absl::IsFailedPrecondition(contents.status())) {
      // It said why and ended in order: reported, nothing served.
      ++refused_;
      return CountFlips(flips, damaged, /*server_reported=*/true);
    }
    RETURN_IF_ERROR(contents.status());
    const bool reported = LogSays("damage");
    RETURN_IF_ERROR(Compare(*contents, flips, reported));
    if (flips[0].record == nullptr) RETURN_IF_ERROR(CheckProgress(program->address(), reported));
    RETURN_IF_ERROR(CountFlips(flips, damaged, reported));
    return StopInOrder(*program);
  }

  // `program` is null when there is none: it did not start, or it ended while it was read.
  absl::StatusOr<Contents> StartAndRead(std::unique_ptr<Program>& program) {
    program.reset();
    ASSIGN_OR_RETURN(program, StartBroker(Broker(work_, "round.log")));
    absl::StatusOr<Contents> contents = ReadAll(program->address());
    const absl::Status running = program->CheckRunning();
    if (!running.ok()) {
      program.reset();
      return running;
    }
    return contents;
  }

  bool LogSays(const std::string& words) const {
    return ReadFile(arguments_.directory + "/round.log").find(words) != std::string::npos;
  }

  // A server that met damage may say so by its exit status; it may not be ended by a signal.
  static absl::Status StopInOrder(Program& program) {
    const absl::Status stopped = program.Stop();
    if (absl::IsFailedPrecondition(stopped) &&
        std::string(stopped.message()).find("is damaged") != std::string::npos) {
      return absl::OkStatus();
    }
    return stopped;
  }

  // Ranges of log offsets that dunlin-dump finds damaged.
  std::vector<std::pair<uint64_t, uint64_t>> Verify() const {
    const std::string output = arguments_.directory + "/verify.txt";
    fs::remove(output);
    (void)RunTool({arguments_.dump, work_ + "/store", "--verify"}, output);  // read from its text
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    std::istringstream lines(ReadFile(output));
    for (std::string line; std::getline(lines, line);) {
      unsigned long long begin = 0;
      unsigned long long end = 0;
      if (std::sscanf(line.c_str(), "damaged: %llu to %llu", &begin, &end) == 2) {
        ranges.emplace_back(begin, end);
      }
    }
    return ranges;
  }

  // What is served is what was there; what is missing is at most what was hit, and reported.
  absl::Status Compare(const Contents& contents, const std::vector<Flip>& flips, bool reported) {
    int64_t missing = 0;
    for (const auto& [queue, held] : expected_) {
      const QueueContents& got = contents.at(queue);
      for (const auto& [offset, identity] : got) {
        const auto sent = held.find(offset);
        if (sent == held.end() || sent->second != identity) {
          return absl::DataLossError(fmt::format("{} queue {} offset {} is another message",
                                                 queue.first, queue.second, offset));
        }
      }
      missing += static_cast<int64_t>(held.size()) - static_cast<int64_t>(got.size());
      served_ += got.size();
    }
    const auto hit = std::count_if(flips.begin(), flips.end(), [](const Flip& flip) {
      return flip.record != nullptr && flip.record->is_message;
    });
    if (missing > hit) {
      return absl::DataLossError(fmt::format("{} messages are missing, {} were hit", missing, hit));
    }
    if (missing > 0 && !reported) {
      return absl::DataLossError(fmt::format("{} messages are missing without a word", missing));
    }
    lost_ += static_cast<uint64_t>(missing);
    return absl::OkStatus();
  }

  // The progress of the group is what it was, or its damage was reported.
  absl::Status CheckProgress(const std::string& address, bool reported) const {
    V2Client client(address);
    for (const std::string topic : kTopics) {
      for (uint32_t queue = 0; queue < kQueues; ++queue) {
        const absl::StatusOr<int64_t> offset = client.GetOffset(kGroup, {topic, queue});
        if (offset.ok() && *offset == queue + 1) continue;
        if (!offset.ok() && reported) continue;
        return absl::DataLossError(fmt::format(
            "the group's offset of {} queue {} was {} and is now {}", topic, queue, queue + 1,
            offset.ok() ? std::to_string(*offset) : std::string(offset.status().message())));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CountFlips(const std::vector<Flip>& flips,
                          const std::vector<std::pair<uint64_t, uint64_t>>& damaged,
                          bool server_reported) {
    for (const Flip& flip : flips) {
      if (flip.record == nullptr) {
        ++view_flips_;
        continue;
      }
      ++log_flips_;
      const uint64_t at = flip.record->log_offset;
      const bool found = std::any_of(damaged.begin(), damaged.end(), [at](const auto& range) {
        return range.first <= at && at < range.second;
      });
      if (found) {
        ++found_by_verify_;
      } else if (server_reported) {
        ++found_by_server_;
      } else {
        return absl::DataLossError(
            fmt::format("the flip in the record at log offset {} is found by nobody", at));
      }
    }
    return absl::OkStatus();
  }

  const Arguments& arguments_;
  const int flips_;
  std::mt19937_64 random_;
  const std::string pristine_;
  const std::string work_;
  Contents expected_;
  std::vector<Extent> records_;
  std::vector<std::pair<std::string, uint64_t>> view_files_;
  int done_ = 0;
  uint64_t log_flips_ = 0;
  uint64_t view_flips_ = 0;
  uint64_t found_by_verify_ = 0;
  uint64_t found_by_server_ = 0;
  uint64_t refused_ = 0;
  uint64_t healed_ = 0;
  uint64_t aborted_ = 0;
  uint64_t lost_ = 0;
  uint64_t served_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::RunBench<dunlin::e2e::Bench>(argc, argv); }
