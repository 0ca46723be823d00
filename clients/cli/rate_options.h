// Options for a rate: of a topic or a group.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "proto/dunlin/admin/v1/admin.pb.h"

namespace dunlin::cli {

struct RateOptions {
  std::optional<uint64_t> messages;
  std::optional<uint64_t> bytes;

  bool given() const { return messages.has_value() || bytes.has_value(); }
};

// `whose`: as in "producers of the topic may send".
void AddRate(CLI::App& command, RateOptions& options, const std::string& whose);
void FillRate(const RateOptions& options, admin::v1::Rate& rate);
// "100 messages/s, 5000 bytes/s"; empty when there is no limit.
std::string RateText(const admin::v1::Rate& rate);

}  // namespace dunlin::cli
