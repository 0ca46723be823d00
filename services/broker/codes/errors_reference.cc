#include "services/broker/codes/errors_reference.h"

#include <fmt/format.h>

#include <string_view>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// A `|` would end the cell.
std::string Cell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c;
  }
  return cell;
}

}  // namespace

std::string ErrorsReference() {
  std::string page =
      "# Errors\n"
      "\n"
      "<!-- Generated: bazel run //services/broker/codes:print_errors > "
      "docs/reference/errors.md -->\n"
      "\n"
      "Every answer of the public API (`apache.rocketmq.v2`) carries one of these codes in its\n"
      "`status`, and a text that names the value at fault and the limit. The gRPC status of such "
      "a\n"
      "call is OK: a gRPC error means that the call itself failed. The kind says what a program\n"
      "should do, in the words of gRPC: `INVALID_ARGUMENT` correct the request,\n"
      "`RESOURCE_EXHAUSTED` slow down, `UNAVAILABLE` and `DEADLINE_EXCEEDED` try again.\n"
      "\n"
      "| code | number | kind | what it means | what to do |\n"
      "|---|---|---|---|---|\n";
  for (const PublicCodeInfo& info : PublicCodes()) {
    page += fmt::format("| `{}` | {} | `{}` | {} | {} |\n", info.name, static_cast<int>(info.code),
                        absl::StatusCodeToString(info.canonical), Cell(info.meaning),
                        Cell(info.way_out));
  }
  return page;
}

}  // namespace dunlin::broker
