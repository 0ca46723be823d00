// Output: tables for people, JSON for programs.

#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dunlin::cli {

enum class Format { kTable, kJson };

// Columns as wide as their widest cell, two blanks between them, none at the end of a line.
std::string Table(const std::vector<std::vector<std::string>>& rows);

// Stable: field names as in the contract, every field there.
std::string Json(const google::protobuf::Message& message);

// "2026-11-20 23:54:11.250" in UTC; "-" for the beginning of time.
std::string TimeText(int64_t seconds, int32_t nanos);
// "1.5 GiB"
std::string BytesText(int64_t bytes);

// For an empty cell of a table that is not the last one.
std::string OrDash(std::string text);

// As one word of a shell's command.
std::string ShellWord(std::string_view text);

// The body of a message for a terminal: as it is when it is text, base64 otherwise.
std::string BodyText(std::string_view body);

}  // namespace dunlin::cli
