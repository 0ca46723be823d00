#include "operator/program/counting_transport.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace dunlin::op {

class CountingTransport::Counted final : public k8s::HttpHandler {
 public:
  Counted(prometheus::Family<prometheus::Counter>& requests, std::string verb,
          std::unique_ptr<k8s::HttpHandler> handler)
      : requests_(requests), verb_(std::move(verb)), handler_(std::move(handler)) {}

  void OnHead(const k8s::HttpHead& head) override {
    code_ = fmt::to_string(head.code);
    handler_->OnHead(head);
  }
  bool OnBody(std::string_view part) override { return handler_->OnBody(part); }
  void OnDone(const k8s::HttpEnd& end) override {
    requests_.Add({{"verb", verb_}, {"code", code_}}).Increment();
    handler_->OnDone(end);
  }

 private:
  prometheus::Family<prometheus::Counter>& requests_;
  const std::string verb_;
  std::string code_ = "none";  // there was no answer
  const std::unique_ptr<k8s::HttpHandler> handler_;
};

CountingTransport::CountingTransport(k8s::Transport& transport, prometheus::Registry& registry)
    : transport_(transport),
      requests_(prometheus::BuildCounter()
                    .Name("dunlin_operator_api_requests_total")
                    .Help("Requests to the API server that have ended, by verb and HTTP code.")
                    .Register(registry)) {}

k8s::CallId CountingTransport::Start(k8s::HttpRequest request,
                                     std::unique_ptr<k8s::HttpHandler> handler) {
  auto counted = std::make_unique<Counted>(requests_, VerbOf(request), std::move(handler));
  return transport_.Start(std::move(request), std::move(counted));
}

std::string VerbOf(const k8s::HttpRequest& request) {
  if (request.method == "POST") return "create";
  if (request.method == "PUT") return "update";
  if (request.method == "PATCH") return "patch";
  if (request.method == "DELETE") return "delete";
  const size_t query = request.path.find('?');
  if (query == std::string::npos) return "get";
  if (request.path.find("watch=", query) != std::string::npos) return "watch";
  return request.path.find("limit=", query) != std::string::npos ? "list" : "get";
}

}  // namespace dunlin::op
