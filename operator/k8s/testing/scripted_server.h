// ScriptedServer: an HTTP/1.1 server on loopback that does what a test says, well or badly.
//
// Answers are written by hand: sent in parts, held up, cut off in the middle, reset. Over TLS when
// it is given a certificate. A thread per connection. Thread-safe.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "services/base/mutex.h"

namespace dunlin::k8s {

struct ServerRequest {
  std::string method;
  std::string path;
  std::string query;
  std::map<std::string, std::string> headers;  // names in small letters
  std::string body;
  int connection = 0;  // from 1

  // Of the query, decoded; empty when it is not there.
  std::string Parameter(const std::string& name) const;
};

// One client's connection, for the script of one answer. Writes to a client that is gone are
// nothing.
class ServerConnection {
 public:
  virtual ~ServerConnection() = default;

  virtual void Send(std::string_view bytes) = 0;
  // Ends the connection, as if nothing was wrong, or with a reset.
  virtual void Close() = 0;
  virtual void Reset() = 0;
  // Returns when the client has gone, or the server stops.
  virtual void WaitUntilGone() = 0;

  // Whole answers with Content-Length.
  void Answer(int code, std::string_view body, const std::vector<std::string>& more_headers = {});
  // The head of a stream, and parts of it: chunked.
  void BeginStream();
  void Chunk(std::string_view bytes);
  void EndStream();
};

class ScriptedServer {
 public:
  using Script = std::function<void(const ServerRequest& request, ServerConnection& connection)>;

  struct Tls {
    std::string certificate_path;
    std::string key_path;
    std::string client_ca_path;  // empty: clients need no certificate
  };

  explicit ScriptedServer(Script script);
  ScriptedServer(Script script, const Tls& tls);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  std::string Url() const;
  int port() const { return port_; }
  int Connections() const ABSL_LOCKS_EXCLUDED(mutex_);  // ever

  // Ends listening and all connections; scripts must not wait for anything but WaitUntilGone.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Connection;
  struct Secret;  // OpenSSL's

  void Listen();
  void AcceptAll() ABSL_LOCKS_EXCLUDED(mutex_);

  const Script script_;
  std::unique_ptr<Secret> secret_;
  int listener_ = -1;
  int stop_event_ = -1;  // readable: stopping
  int port_ = 0;
  mutable Mutex mutex_;
  int accepted_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> workers_ ABSL_GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace dunlin::k8s
