#include "services/broker/rpc/call_context.h"

#include <algorithm>
#include <string_view>

#include "services/base/request_signature.h"

namespace dunlin::broker {
namespace {

// Of what is shown to people and kept for each client.
constexpr size_t kMaxFreeText = 128;

std::string_view View(const grpc::CallbackServerContext& context, const char* name) {
  auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return {};
  const std::string_view value(found->second.data(), found->second.size());
  const size_t first = value.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return value.substr(first, value.find_last_not_of(" \t") - first + 1);
}

std::string Header(const grpc::CallbackServerContext& context, const char* name) {
  return std::string(View(context, name));
}

// Goes into calls of ours, and gRPC ends the process at a header that it must not send.
std::string Printable(std::string text) {
  const bool legal =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
  return legal ? text : "";
}

}  // namespace

CallContext ReadCallContext(const grpc::CallbackServerContext& context) {
  CallContext call;
  call.client_id = Header(context, "x-mq-client-id");
  call.language = View(context, "x-mq-language").substr(0, kMaxFreeText);
  call.version = View(context, "x-mq-client-version").substr(0, kMaxFreeText);
  call.name_space = Header(context, "x-mq-namespace");
  call.zone = Printable(Header(context, "x-dunlin-zone"));
  call.peer = context.peer();
  call.deadline = context.deadline();
  return call;
}

CallContext ReadCallContext(const AccessControl& access,
                            const grpc::CallbackServerContext& context) {
  CallContext call = ReadCallContext(context);
  call.caller = ReadCaller(access, context);
  if (call.caller.user != nullptr && !call.client_id.empty()) {
    call.client_id.insert(0, call.caller.user->name + "/");
  }
  return call;
}

Caller ReadCaller(const AccessControl& access, const grpc::CallbackServerContext& context) {
  if (!access.enabled()) return access.Identify({});
  const std::string peer = context.peer();
  return access.Identify(
      {View(context, kAuthorizationHeader), View(context, kDateTimeHeader), peer});
}

}  // namespace dunlin::broker
