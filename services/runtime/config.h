// LoadConfig: fills a configuration message from a YAML file, the environment and the command line.
//
// Works on any message of proto/dunlin/config/v1; the schema, the defaults, the limits and the
// documentation all live there. Later sources win: built-in default, file, environment, command
// line. What is not in the schema, or not within its limits, is refused and nothing is guessed.
// Not thread-safe, and meant to be called once, by main.

#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/strings.h"

namespace dunlin {

struct ConfigSources {
  std::string file;  // path of a YAML file; empty: none
  // "NAME=value" as in environ(7). DUNLIN_SERVER__LISTEN_ADDRESS is server.listen_address; a list
  // is written with commas. Other names are ignored, unless they begin with DUNLIN_ and contain
  // "__": those are refused, since Kubernetes makes names with DUNLIN_ but none with "__".
  std::vector<std::string> environment;
  std::vector<std::string> overrides;  // "server.listen_address=0.0.0.0:1"
};

// The environment of this process.
std::vector<std::string> ProcessEnvironment();

// Gives sections the defaults that the schema has for them in this place, which the fields by
// themselves do not answer with. LoadConfig begins with it.
void FillDefaults(google::protobuf::Message& config);

// Who set each field.
class ConfigOrigins {
 public:
  void Set(std::string_view path, std::string origin);
  // "default", "dunlin.yaml:12", "DUNLIN_LOG__LEVEL" or "--set"; `path` is "log.level".
  std::string_view Of(std::string_view path) const;

 private:
  StringMap<std::string> origins_;
};

// Sets in `config` what the sources say, checks it against the schema, and fills the defaults of
// lists; unset scalar fields keep answering with their defaults. On error `config` is half done.
// NOT_FOUND or PERMISSION_DENIED: the file cannot be read. INVALID_ARGUMENT: the message names
// the place at fault ("dunlin.yaml:12:3: …").
absl::StatusOr<ConfigOrigins> LoadConfig(const ConfigSources& sources,
                                         google::protobuf::Message& config);

// The configuration in effect as YAML, each value with its origin as a comment.
std::string PrintConfig(const google::protobuf::Message& config, const ConfigOrigins& origins);

}  // namespace dunlin
