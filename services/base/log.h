// Structured-enough logging to stderr: dunlin::log::Info("opened {} in {} ms", path, ms).
//
// Thread-safe. A line is: time, level, thread name, message. Levels are set once by main.

#pragma once

#include <fmt/format.h>

#include <string_view>

namespace dunlin::log {

enum class Level { kDebug, kInfo, kWarning, kError, kCritical };

// Lines below `level` are dropped. Default: kInfo.
void SetLevel(Level level);
bool IsOn(Level level);
void Write(Level level, std::string_view line);
void Flush();

template <typename... Args>
void Debug(fmt::format_string<Args...> format, Args&&... args) {
  if (IsOn(Level::kDebug)) Write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Info(fmt::format_string<Args...> format, Args&&... args) {
  if (IsOn(Level::kInfo)) Write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Warning(fmt::format_string<Args...> format, Args&&... args) {
  Write(Level::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Error(fmt::format_string<Args...> format, Args&&... args) {
  Write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Critical(fmt::format_string<Args...> format, Args&&... args) {
  Write(Level::kCritical, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dunlin::log
