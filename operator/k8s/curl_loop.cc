#include "operator/k8s/curl_loop.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/status/status.h"

#include "services/base/check.h"
#include "services/base/strings.h"

namespace dunlin::k8s {
namespace {

constexpr long kConnectTimeoutMillis = 10'000;
// From the first unanswered byte to a dead connection, for all its streams. A leader has to notice,
// connect anew and renew its lease within ten seconds.
constexpr unsigned kTcpUserTimeoutMillis = 5'000;
constexpr long kKeepAliveSeconds = 15;
constexpr int kWaitMaxMillis = 1000;

void InitialiseLibcurl() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(result == CURLE_OK, curl_easy_strerror(result));
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
  return lower;
}

int SetUserTimeout(void* /*unused*/, curl_socket_t fd, curlsocktype /*purpose*/) {
  const unsigned timeout = kTcpUserTimeoutMillis;
  // Fails for what is not TCP, where it is not needed.
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
  return CURL_SOCKOPT_OK;
}

curl_blob Blob(const std::string& bytes) {
  return {const_cast<char*>(bytes.data()), bytes.size(), CURL_BLOB_NOCOPY};
}

bool NeverSent(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
      return true;
    default:
      return false;
  }
}

absl::Status StatusOfCurl(CURLcode code, std::string_view detail, const ApiServer& server) {
  if (code == CURLE_OK) return absl::OkStatus();
  const std::string reason = detail.empty() ? curl_easy_strerror(code) : std::string(detail);
  switch (code) {
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:
      return absl::CancelledError("the call was given up");
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(
          fmt::format("{} did not answer in time: {}", server.url, reason));
    case CURLE_PEER_FAILED_VERIFICATION:
      return absl::FailedPreconditionError(
          fmt::format("the certificate of {} is not one to trust ({}): check the cluster's CA, or "
                      "tls-server-name when it is made out to another name",
                      server.url, reason));
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
      return absl::FailedPreconditionError(
          fmt::format("the certificates for {} cannot be used: {}", server.url, reason));
    default:
      return absl::UnavailableError(fmt::format("{}: {}", server.url, reason));
  }
}

}  // namespace

struct CurlLoop::Libcurl {
  CURLM* multi = nullptr;
};

// One call on its way. Of the loop's thread.
class CurlLoop::Call {
 public:
  Call(HttpRequest request, std::unique_ptr<HttpHandler> handler)
      : request_(std::move(request)), handler_(std::move(handler)), easy_(curl_easy_init()) {
    CHECK(easy_ != nullptr);
  }
  ~Call() {
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
    curl_slist_free_all(connect_to_);
  }

  CURL* Easy() { return easy_; }

  void Prepare(const ApiServer& server, const std::string& user_agent, const std::string& token) {
    const std::string url = UrlOf(server);
    Set(CURLOPT_URL, url.c_str());
    Set(CURLOPT_PRIVATE, this);
    Set(CURLOPT_ERRORBUFFER, error_);
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_PROTOCOLS_STR, "https,http");
    Set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
    // Over TLS rather a stream of a connection to be than a second connection; without, libcurl
    // learns only from the first answer that there are no streams, and a watch has none for long.
    Set(CURLOPT_PIPEWAIT, server.url.starts_with("https://") ? 1L : 0L);
    Set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMillis);
    Set(CURLOPT_TIMEOUT_MS, static_cast<long>(request_.timeout.count()));
    Set(CURLOPT_TCP_KEEPALIVE, 1L);
    Set(CURLOPT_TCP_KEEPIDLE, kKeepAliveSeconds);
    Set(CURLOPT_TCP_KEEPINTVL, kKeepAliveSeconds);
    Set(CURLOPT_SOCKOPTFUNCTION, &SetUserTimeout);
    Set(CURLOPT_USERAGENT, user_agent.c_str());
    Set(CURLOPT_ACCEPT_ENCODING, "gzip");
    // Never what the environment says: its variables are meant for other programs.
    Set(CURLOPT_PROXY, server.proxy_url.c_str());
    SetTls(server);
    AddHeader("Accept: application/json");
    if (!token.empty()) AddHeader("Authorization: Bearer " + token);
    Set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
    if (!request_.content_type.empty()) {
      AddHeader("Content-Type: " + request_.content_type);
      AddHeader("Expect:");  // no question first
      Set(CURLOPT_POSTFIELDS, request_.body.data());
      Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    }
    Set(CURLOPT_HTTPHEADER, headers_);
    Set(CURLOPT_HEADERFUNCTION, &OnHeader);
    Set(CURLOPT_HEADERDATA, this);
    Set(CURLOPT_WRITEFUNCTION, &OnBody);
    Set(CURLOPT_WRITEDATA, this);
  }

  // With the answer's code; 0 when there was none.
  int Finish(CURLcode code, const ApiServer& server) {
    long http_code = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &http_code);
    if (code == CURLE_OK) TellHead();  // of an answer without a body
    handler_->OnDone({.status = StatusOfCurl(code, error_, server), .sent = !NeverSent(code)});
    return static_cast<int>(http_code);
  }
  void Fail(absl::Status status) { handler_->OnDone({.status = std::move(status), .sent = false}); }
  void Cancel() { handler_->OnDone({.status = absl::CancelledError("cancelled"), .sent = true}); }

 private:
  template <typename Value>
  void Set(CURLoption option, Value value) {
    const CURLcode code = curl_easy_setopt(easy_, option, value);
    CHECK(code == CURLE_OK, curl_easy_strerror(code));
  }

  void AddHeader(const std::string& line) { headers_ = curl_slist_append(headers_, line.c_str()); }

  // With another name to know the server by, the URL has that name, and the connection is made to
  // where the server is.
  std::string UrlOf(const ApiServer& server) {
    if (server.tls_server_name.empty()) return server.url + request_.path;
    CURLU* const url = curl_url();
    curl_url_set(url, CURLUPART_URL, server.url.c_str(), 0);
    char* host = nullptr;
    char* port = nullptr;
    std::string changed = server.url;
    if (curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
      AddHeader(fmt::format("Host: {}:{}", host, port));
      connect_to_ = curl_slist_append(connect_to_, fmt::format("::{}:{}", host, port).c_str());
      Set(CURLOPT_CONNECT_TO, connect_to_);
      changed = fmt::format("https://{}:{}", server.tls_server_name, port);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return changed + request_.path;
  }

  void SetTls(const ApiServer& server) {
    if (server.insecure_skip_tls_verify) {
      Set(CURLOPT_SSL_VERIFYPEER, 0L);
      Set(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!server.ca_pem.empty()) {
      curl_blob ca = Blob(server.ca_pem);
      Set(CURLOPT_CAINFO_BLOB, &ca);
      Set(CURLOPT_CAPATH, nullptr);  // nobody else's word
    }
    if (!server.client_certificate_pem.empty()) {
      curl_blob certificate = Blob(server.client_certificate_pem);
      curl_blob key = Blob(server.client_key_pem);
      Set(CURLOPT_SSLCERT_BLOB, &certificate);
      Set(CURLOPT_SSLKEY_BLOB, &key);
    }
  }

  static size_t OnHeader(char* data, size_t /*one*/, size_t size, void* self) {
    static_cast<Call*>(self)->TakeHeader({data, size});
    return size;
  }
  void TakeHeader(std::string_view line) {
    if (line.starts_with("HTTP/")) retry_after_.reset();  // a new answer: a redirect, a 100
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || Lower(line.substr(0, colon)) != "retry-after") return;
    line.remove_prefix(colon + 1);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    int seconds = 0;  // the date form is not used by API servers
    if (std::from_chars(line.data(), line.data() + line.size(), seconds).ec == std::errc()) {
      retry_after_ = std::chrono::seconds(std::max(seconds, 0));
    }
  }

  static size_t OnBody(char* data, size_t /*one*/, size_t size, void* self) {
    auto* const call = static_cast<Call*>(self);
    call->TellHead();
    return call->handler_->OnBody({data, size}) ? size : 0;
  }
  void TellHead() {
    if (std::exchange(head_told_, true)) return;
    long code = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &code);
    handler_->OnHead({.code = static_cast<int>(code), .retry_after = retry_after_});
  }

  const HttpRequest request_;
  const std::unique_ptr<HttpHandler> handler_;
  CURL* const easy_;
  curl_slist* headers_ = nullptr;
  curl_slist* connect_to_ = nullptr;
  char error_[CURL_ERROR_SIZE] = "";
  std::optional<std::chrono::seconds> retry_after_;
  bool head_told_ = false;
};

CurlLoop::CurlLoop(ApiServer server, std::string user_agent, const Clock& clock)
    : server_(std::move(server)),
      user_agent_(std::move(user_agent)),
      clock_(clock),
      libcurl_(std::make_unique<Libcurl>()) {
  InitialiseLibcurl();
  libcurl_->multi = curl_multi_init();
  CHECK(libcurl_->multi != nullptr);
  curl_multi_setopt(libcurl_->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "k8s-loop");
    // OpenSSL writes to sockets whose peer is gone.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    Run();
  });
}

CurlLoop::~CurlLoop() {
  Stop();
  curl_multi_cleanup(libcurl_->multi);
}

CallId CurlLoop::Start(HttpRequest request, std::unique_ptr<HttpHandler> handler) {
  const CallId id = next_call_.fetch_add(1);
  {
    MutexLock lock(mutex_);
    if (!stopping_) {
      tasks_.push_back(
          [this, id, request = std::move(request), handler = std::move(handler)]() mutable {
            Begin(id, std::move(request), std::move(handler));
          });
      handler = nullptr;
    }
  }
  if (handler != nullptr) {
    // The thread is gone or going: the caller's is as good as any.
    handler->OnDone({.status = absl::CancelledError("the client was stopped"), .sent = false});
    return id;
  }
  curl_multi_wakeup(libcurl_->multi);
  return id;
}

void CurlLoop::Cancel(CallId call) {
  Post([this, call] {
    const auto found = calls_.find(call);
    if (found == calls_.end()) return;
    const std::unique_ptr<Call> cancelled = std::move(found->second);
    calls_.erase(found);
    curl_multi_remove_handle(libcurl_->multi, cancelled->Easy());
    cancelled->Cancel();
  });
}

void CurlLoop::Post(Task task) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    tasks_.push_back(std::move(task));
  }
  curl_multi_wakeup(libcurl_->multi);
}

void CurlLoop::After(std::chrono::milliseconds delay, Task task) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    timers_.emplace(clock_.Now() + delay, std::move(task));
  }
  curl_multi_wakeup(libcurl_->multi);
}

void CurlLoop::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(libcurl_->multi);
  if (thread_.joinable()) thread_.join();
}

void CurlLoop::Run() {
  for (;;) {
    RunTasks();
    {
      MutexLock lock(mutex_);
      if (stopping_ && tasks_.empty()) break;
    }
    int running = 0;
    curl_multi_perform(libcurl_->multi, &running);
    Reap();
    curl_multi_poll(libcurl_->multi, nullptr, 0, MillisToWait(), nullptr);
  }
  EndAll();
}

void CurlLoop::RunTasks() {
  std::deque<Task> ready;
  std::multimap<Timestamp, Task> dropped;  // destroyed without the lock: a task may own anything
  {
    MutexLock lock(mutex_);
    ready.swap(tasks_);
    if (stopping_) {
      dropped.swap(timers_);
    } else {
      const auto end = timers_.upper_bound(clock_.Now());
      for (auto timer = timers_.begin(); timer != end; ++timer) {
        ready.push_back(std::move(timer->second));
      }
      timers_.erase(timers_.begin(), end);
    }
  }
  for (Task& task : ready) task();
}

void CurlLoop::Begin(CallId id, HttpRequest request, std::unique_ptr<HttpHandler> handler) {
  auto call = std::make_unique<Call>(std::move(request), std::move(handler));
  if (calls_.size() >= kCallsMax) {
    call->Fail(absl::ResourceExhaustedError(
        fmt::format("{} calls to {} are under way already", kCallsMax, server_.url)));
    return;
  }
  std::string token;
  if (server_.token != nullptr) {
    absl::StatusOr<std::string> read = server_.token->Token();
    if (!read.ok()) {
      call->Fail(read.status());
      return;
    }
    token = *std::move(read);
  }
  call->Prepare(server_, user_agent_, token);
  const CURLMcode code = curl_multi_add_handle(libcurl_->multi, call->Easy());
  CHECK(code == CURLM_OK, curl_multi_strerror(code));
  calls_.emplace(id, std::move(call));
}

void CurlLoop::Reap() {
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(libcurl_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    CURL* const easy = message->easy_handle;
    const auto found = std::find_if(calls_.begin(), calls_.end(), [easy](const auto& entry) {
      return entry.second->Easy() == easy;
    });
    CHECK(found != calls_.end());
    const std::unique_ptr<Call> call = std::move(found->second);
    calls_.erase(found);
    curl_multi_remove_handle(libcurl_->multi, easy);
    constexpr int kUnauthorized = 401;
    long http_code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http_code);
    if (http_code == kUnauthorized && server_.token != nullptr) server_.token->Refused();
    call->Finish(code, server_);
  }
}

void CurlLoop::EndAll() {
  auto calls = std::exchange(calls_, {});
  for (const auto& [id, call] : calls) {
    curl_multi_remove_handle(libcurl_->multi, call->Easy());
    call->Cancel();
  }
}

int CurlLoop::MillisToWait() const {
  MutexLock lock(mutex_);
  if (stopping_ || !tasks_.empty()) return 0;
  if (timers_.empty()) return kWaitMaxMillis;
  const auto wait = timers_.begin()->first - clock_.Now();
  return static_cast<int>(std::clamp<int64_t>(wait.count(), 0, kWaitMaxMillis));
}

}  // namespace dunlin::k8s
