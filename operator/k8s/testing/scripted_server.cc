#include "operator/k8s/testing/scripted_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "services/base/check.h"

namespace dunlin::k8s {
namespace {

std::string Decode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      decoded +=
          static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace

std::string ServerRequest::Parameter(const std::string& name) const {
  std::string_view left = query;
  while (!left.empty()) {
    const size_t end = std::min(left.find('&'), left.size());
    const std::string_view pair = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == name) {
      return Decode(pair.substr(std::min(equals + 1, pair.size())));
    }
  }
  return "";
}

void ServerConnection::Answer(int code, std::string_view body,
                              const std::vector<std::string>& more_headers) {
  std::string head = fmt::format(
      "HTTP/1.1 {} Scripted\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", code,
      body.size());
  for (const std::string& line : more_headers) head += line + "\r\n";
  Send(head + "\r\n" + std::string(body));
}

void ServerConnection::BeginStream() {
  Send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
}

void ServerConnection::Chunk(std::string_view bytes) {
  Send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes));
}

void ServerConnection::EndStream() { Send("0\r\n\r\n"); }

struct ScriptedServer::Secret {
  SSL_CTX* context = nullptr;
  ~Secret() { SSL_CTX_free(context); }
};

class ScriptedServer::Connection final : public ServerConnection {
 public:
  Connection(int fd, int stop_event, int number, SSL_CTX* context)
      : fd_(fd), stop_event_(stop_event), number_(number) {
    if (context == nullptr) return;
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd_);
  }
  ~Connection() override {
    if (ssl_ != nullptr) SSL_free(ssl_);
    Close();
  }

  // Serves requests until somebody has enough.
  void Serve(const Script& script) {
    if (ssl_ != nullptr && SSL_accept(ssl_) != 1) return;
    while (fd_ >= 0) {
      ServerRequest request;
      if (!Read(request)) return;
      script(request, *this);
    }
  }

  void Send(std::string_view bytes) override {
    while (!bytes.empty() && fd_ >= 0) {
      const ssize_t sent = ssl_ != nullptr
                               ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                               : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return Close();
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void Close() override {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  void Reset() override {
    const linger hard{.l_onoff = 1, .l_linger = 0};
    if (fd_ >= 0) setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    Close();
  }
  void WaitUntilGone() override {
    std::array<char, 4096> ignored{};
    while (fd_ >= 0 && Receive(ignored.data(), ignored.size()) > 0) {
    }
    Close();
  }

 private:
  // 0 or less: the client is gone, or the server stops.
  ssize_t Receive(char* into, size_t size) {
    if (ssl_ == nullptr || SSL_pending(ssl_) == 0) {
      std::array<pollfd, 2> fds = {pollfd{.fd = fd_, .events = POLLIN, .revents = 0},
                                   pollfd{.fd = stop_event_, .events = POLLIN, .revents = 0}};
      if (poll(fds.data(), fds.size(), -1) < 0 || fds[1].revents != 0) return -1;
    }
    return ssl_ != nullptr ? SSL_read(ssl_, into, static_cast<int>(size))
                           : recv(fd_, into, size, 0);
  }

  bool Fill() {
    std::array<char, 16384> part{};
    const ssize_t received = Receive(part.data(), part.size());
    if (received <= 0) return false;
    buffer_.append(part.data(), static_cast<size_t>(received));
    return true;
  }

  bool Read(ServerRequest& request) {
    constexpr std::string_view kEnd = "\r\n\r\n";
    size_t end = 0;
    while ((end = buffer_.find(kEnd)) == std::string::npos) {
      if (!Fill()) return false;
    }
    const std::string head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + kEnd.size());
    ParseHead(head, request);
    const size_t length = std::strtoul(request.headers["content-length"].c_str(), nullptr, 10);
    while (buffer_.size() < length) {
      if (!Fill()) return false;
    }
    request.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    request.connection = number_;
    return true;
  }

  static void ParseHead(std::string_view head, ServerRequest& request) {
    size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    const size_t first = line.find(' ');
    const size_t second = line.find(' ', first + 1);
    request.method = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, second - first - 1);
    const size_t mark = std::min(target.find('?'), target.size());
    request.path = target.substr(0, mark);
    request.query = target.substr(std::min(mark + 1, target.size()));
    head.remove_prefix(end + 2);
    while ((end = head.find("\r\n")) != std::string_view::npos) {
      const std::string_view header = head.substr(0, end);
      head.remove_prefix(end + 2);
      const size_t colon = header.find(':');
      if (colon == std::string_view::npos) continue;
      std::string name(header.substr(0, colon));
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      std::string_view value = header.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
      request.headers[name] = value;
    }
  }

  int fd_;
  const int stop_event_;
  const int number_;
  SSL* ssl_ = nullptr;
  std::string buffer_;
};

ScriptedServer::ScriptedServer(Script script) : script_(std::move(script)) { Listen(); }

ScriptedServer::ScriptedServer(Script script, const Tls& tls) : script_(std::move(script)) {
  secret_ = std::make_unique<Secret>();
  secret_->context = SSL_CTX_new(TLS_server_method());
  CHECK(secret_->context != nullptr);
  CHECK(SSL_CTX_use_certificate_chain_file(secret_->context, tls.certificate_path.c_str()) == 1);
  CHECK(SSL_CTX_use_PrivateKey_file(secret_->context, tls.key_path.c_str(), SSL_FILETYPE_PEM) == 1);
  if (!tls.client_ca_path.empty()) {
    const char* const ca = tls.client_ca_path.c_str();
    CHECK(SSL_CTX_load_verify_locations(secret_->context, ca, nullptr) == 1);
    SSL_CTX_set_verify(secret_->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       nullptr);
  }
  Listen();
}

ScriptedServer::~ScriptedServer() {
  Stop();
  close(stop_event_);
  close(listener_);
}

std::string ScriptedServer::Url() const {
  return fmt::format("{}://127.0.0.1:{}", secret_ == nullptr ? "http" : "https", port_);
}

int ScriptedServer::Connections() const {
  MutexLock lock(mutex_);
  return accepted_;
}

void ScriptedServer::Stop() {
  const uint64_t one = 1;
  CHECK(write(stop_event_, &one, sizeof(one)) == sizeof(one));
  if (acceptor_.joinable()) acceptor_.join();
  std::vector<std::thread> workers;
  {
    MutexLock lock(mutex_);
    workers.swap(workers_);
  }
  for (std::thread& worker : workers) worker.join();
}

void ScriptedServer::Listen() {
  signal(SIGPIPE, SIG_IGN);  // OpenSSL cannot be told to do without
  stop_event_ = eventfd(0, EFD_CLOEXEC);
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHECK(listen(listener_, SOMAXCONN) == 0);
  CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { AcceptAll(); });
}

void ScriptedServer::AcceptAll() {
  for (;;) {
    std::array<pollfd, 2> fds = {pollfd{.fd = listener_, .events = POLLIN, .revents = 0},
                                 pollfd{.fd = stop_event_, .events = POLLIN, .revents = 0}};
    if (poll(fds.data(), fds.size(), -1) < 0 || fds[1].revents != 0) return;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    MutexLock lock(mutex_);
    const int number = ++accepted_;
    workers_.emplace_back([this, fd, number] {
      Connection(fd, stop_event_, number, secret_ == nullptr ? nullptr : secret_->context)
          .Serve(script_);
    });
  }
}

}  // namespace dunlin::k8s
