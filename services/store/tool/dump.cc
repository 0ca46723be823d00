// `dunlin-dump`: prints what is in the files of a store, and verifies them. Reads only; run it on a
// store that no broker has open, or on a copy.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/file.h"
#include "services/base/strings.h"
#include "services/base/version.h"
#include "services/store/index/message_keys.h"
#include "services/store/log/epochs.h"
#include "services/store/log/record.h"
#include "services/store/log/recovery.h"
#include "services/store/log/segment_set.h"
#include "services/store/tool/dump_control.h"
#include "services/store/tool/dump_view.h"

namespace dunlin::store {
namespace {

constexpr char kDescription[] =
    "Prints the records of a store's commit log, or the rows of its view, or verifies them; or the "
    "control page.\n"
    "Formats: docs/formats/. The store must not be open in a broker: stop it, or copy the store; "
    "but "
    "for the control page.\n";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlin-dump data/store                 every record, one line each\n"
    "  dunlin-dump data/store --verify        only counts and damage\n"
    "  dunlin-dump data/store --view          every row of RocksDB, which can be rebuilt from the "
    "log\n"
    "  dunlin-dump data/store --control       what broker and replicator tell each other\n"
    "Exit status: 0 sound, 1 damaged or unreadable, 2 usage.\n";

struct Options {
  std::string directory;
  bool verify = false;
  bool view = false;
  bool control = false;
};

const char* NameOf(RecordKind kind) {
  switch (kind) {
    case RecordKind::kMessage:
      return "MESSAGE";
    case RecordKind::kResolution:
      return "RESOLUTION";
    case RecordKind::kDelivery:
      return "DELIVERY";
    case RecordKind::kProgress:
      return "PROGRESS";
    case RecordKind::kConfig:
      return "CONFIG";
    case RecordKind::kSnapshot:
      return "SNAPSHOT";
    case RecordKind::kPadding:
      return "PADDING";
    case RecordKind::kProducer:
      return "PRODUCER";
    case RecordKind::kRecall:
      return "RECALL";
    case RecordKind::kCheck:
      return "CHECK";
    case RecordKind::kTrim:
      return "TRIM";
    case RecordKind::kCompaction:
      return "COMPACTION";
  }
  return "?";
}

template <typename Proto>
std::string Text(std::string_view payload) {
  Proto proto;
  if (!proto.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return "undecodable";
  return proto.ShortDebugString();
}

std::string Contents(const RecordView& record) {
  switch (record.header().kind) {
    case RecordKind::kMessage: {
      const auto keys = ReadMessageKeys(record.payload(), record.header().properties_offset);
      if (!keys.ok()) return "undecodable";
      return fmt::format("id={} tag={} bytes={}", keys->message_id, keys->tag,
                         record.payload().size());
    }
    case RecordKind::kProducer:
      return Text<storage::v1::ProducerRun>(record.payload());
    case RecordKind::kRecall:
      return Text<storage::v1::Recall>(record.payload());
    case RecordKind::kDelivery:
    case RecordKind::kResolution:
      return Text<storage::v1::Delivery>(record.payload());
    case RecordKind::kCheck:
      return Text<storage::v1::TransactionChecks>(record.payload());
    case RecordKind::kProgress:
      return Text<storage::v1::ProgressChanges>(record.payload());
    case RecordKind::kConfig: {
      // Dumps are shown to others.
      storage::v1::ConfigChange change;
      if (!change.ParseFromArray(record.payload().data(),
                                 static_cast<int>(record.payload().size()))) {
        return "undecodable";
      }
      if (change.has_put_user()) change.mutable_put_user()->set_secret("(not shown)");
      return change.ShortDebugString();
    }
    case RecordKind::kSnapshot: {
      storage::v1::SnapshotPart part;
      part.ParseFromArray(record.payload().data(), static_cast<int>(record.payload().size()));
      return fmt::format("as_of={} part={} last={} topics={} groups={} progress={}", part.as_of(),
                         part.part(), part.last(), part.topics_size(), part.groups_size(),
                         part.progress_size());
    }
    default:
      return "";
  }
}

void Print(const RecordView& record) {
  const RecordHeader& header = record.header();
  const char* const at = (header.flags & kFlagParked) != 0     ? " due "
                         : (header.flags & kFlagPrepared) != 0 ? " check "
                                                               : "@";
  const std::string place = header.queue.topic.value() == 0
                                ? std::string("-")
                                : fmt::format("{}/{}{}{}", header.queue.topic.value(),
                                              header.queue.queue, at, header.queue_offset.value());
  fmt::print("{:>14} {:<10} epoch={} time={} {} {}\n", header.log_offset.value(),
             NameOf(header.kind), header.epoch.value(), ToUnixMillis(header.store_time), place,
             Contents(record));
}

// What recovery of a broker would say, without changing anything: everything that is followed by a
// valid record counts as having been written.
int Walk(const Options& options) {
  FileSystem& files = RealFiles();
  const absl::StatusOr<Epochs> epochs = Epochs::Load(files, options.directory + "/epochs");
  if (!epochs.ok()) fmt::print("damaged: {}\n", FromAbsl(epochs.status().message()));
  auto segments = SegmentSet::OpenForReading(files, options.directory + "/log");
  if (!segments.ok()) {
    fmt::print(stderr, "dunlin-dump: {}\n", FromAbsl(segments.status().message()));
    return 1;
  }
  const Epochs known = epochs.ok() ? *epochs : Epochs();
  const RecordWalk walk(**segments, known);
  const auto list = (*segments)->List();
  LogOffset at = list.empty() ? LogOffset(0) : list.front()->begin();
  const LogOffset limit = list.empty() ? LogOffset(0) : list.back()->end();
  uint64_t records = 0;
  uint64_t holes = epochs.ok() ? 0 : 1;
  while (at < limit) {
    at = walk.SkipRest(at);
    absl::StatusOr<RecordView> record = walk.At(at);
    if (!record.ok()) {
      const std::optional<RecordView> next = walk.Search(at + kRecordAlignment, limit);
      if (!next.has_value()) break;
      ++holes;
      fmt::print("damaged: {} to {}: {}\n", at.value(), next->header().log_offset.value(),
                 FromAbsl(record.status().message()));
      at = next->header().log_offset;
      continue;
    }
    ++records;
    if (!options.verify) Print(*record);
    at = record->header().kind == RecordKind::kPadding ? (*segments)->Find(at)->end()
                                                       : record->end();
  }
  fmt::print("{} records, log offsets {} to {}, {} damaged ranges\n", records,
             list.empty() ? 0 : list.front()->begin().value(), at.value(), holes);
  return holes == 0 ? 0 : 1;
}

}  // namespace
}  // namespace dunlin::store

int main(int argc, char** argv) {
  dunlin::store::Options options;
  CLI::App app(dunlin::store::kDescription, "dunlin-dump");
  app.footer(dunlin::store::kFooter);
  app.set_version_flag("--version", "dunlin-dump " + std::string(dunlin::kVersion));
  app.add_option("STORE", options.directory, "The store directory (the one with log/ in it)")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_flag("--verify", options.verify, "Only count, and report damage");
  app.add_flag("--view", options.view, "The view in RocksDB instead of the log");
  app.add_flag("--control", options.control, "The control page instead of the log");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.control) return dunlin::store::DumpControl(options.directory);
  if (options.view) return dunlin::store::DumpView(options.directory, options.verify);
  return dunlin::store::Walk(options);
}
