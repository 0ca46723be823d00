#include "operator/controller/testing/fake_api_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "services/base/check.h"

namespace dunlin::op {
namespace {

using k8s::Json;

constexpr int kOk = 200;
constexpr int kCreated = 201;
constexpr int kNotFound = 404;
constexpr int kConflict = 409;
constexpr int kForbidden = 403;
constexpr int kInvalid = 422;

std::pair<int, Json> Failure(int code, const std::string& reason) {
  return {code, {{"kind", "Status"}, {"reason", reason}, {"message", reason}}};
}

// Whether the tests of a JSON Patch hold.
bool Fits(const Json& object, const Json& patch) {
  return std::all_of(patch.begin(), patch.end(), [&](const Json& step) {
    const Json::json_pointer at(step["path"].get<std::string>());
    return step["op"] != "test" || (object.contains(at) && object[at] == step["value"]);
  });
}

std::string WithoutQuery(const std::string& path) { return path.substr(0, path.find('?')); }

// "pods/orders-0" of ".../namespaces/shop/pods/orders-0".
std::string ShortOf(const std::string& path) {
  constexpr std::string_view kSpaces = "/namespaces/";
  const size_t space = path.find(kSpaces);
  if (space == std::string::npos) return path;
  return path.substr(path.find('/', space + kSpaces.size()) + 1);
}

}  // namespace

k8s::CallId FakeApiServer::Start(k8s::HttpRequest request,
                                 std::unique_ptr<k8s::HttpHandler> handler) {
  const std::string path = WithoutQuery(request.path);
  const std::string call = request.method + " " + ShortOf(path);
  calls_.push_back(call);
  const auto [code, body] =
      refused_.contains(call) ? Failure(kForbidden, "Forbidden") : Answer(request, path);
  handler->OnHead({.code = code, .retry_after = std::nullopt});
  handler->OnBody(k8s::PrintJson(body));
  handler->OnDone({.status = absl::OkStatus()});
  return 1;
}

std::pair<int, Json> FakeApiServer::Answer(const k8s::HttpRequest& request,
                                           const std::string& path) {
  const Json body = request.body.empty() ? Json() : *k8s::ParseJson(request.body);
  const auto found = objects_.find(path);
  if (request.method == "GET") {
    if (found == objects_.end()) return Failure(kNotFound, "NotFound");
    return {kOk, found->second};
  }
  if (request.method == "POST") {
    const std::string at = path + "/" + k8s::KeyOf(body).name;
    if (objects_.contains(at)) return Failure(kConflict, "AlreadyExists");
    Json object = body;
    Stamp(object);
    objects_[at] = object;
    return {kCreated, object};
  }
  if (request.method == "DELETE") {
    if (found == objects_.end()) return Failure(kNotFound, "NotFound");
    const auto uid = k8s::StringAt(body, {"preconditions", "uid"});
    if (!uid.empty() && uid != k8s::UidOf(found->second)) return Failure(kConflict, "Conflict");
    const auto version = k8s::StringAt(body, {"preconditions", "resourceVersion"});
    if (!version.empty() && version != k8s::ResourceVersionOf(found->second)) {
      return Failure(kConflict, "Conflict");
    }
    found->second["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
    Stamp(found->second);
    return {kOk, found->second};
  }
  CHECK(request.method == "PATCH", request.method);
  return Patch(request, path, body);
}

std::pair<int, Json> FakeApiServer::Patch(const k8s::HttpRequest& request, const std::string& path,
                                          const Json& body) {
  constexpr std::string_view kStatus = "/status";
  const bool of_status = path.ends_with(kStatus);
  const std::string at = of_status ? path.substr(0, path.size() - kStatus.size()) : path;
  const bool apply = request.content_type.find("apply-patch") != std::string::npos;
  auto found = objects_.find(at);
  if (found == objects_.end()) {
    if (!apply || of_status) return Failure(kNotFound, "NotFound");
    if (!k8s::UidOf(body).empty()) return Failure(kConflict, "Conflict");
    found = objects_.emplace(at, Json::object()).first;
    found->second["metadata"]["generation"] = 0;
  }
  const auto differs = [&](std::string_view field) {
    if (!body.is_object()) return false;
    const auto wanted = k8s::StringAt(body, {"metadata", field});
    return !wanted.empty() && wanted != k8s::StringAt(found->second, {"metadata", field});
  };
  if (differs("uid") || differs("resourceVersion")) return Failure(kConflict, "Conflict");
  Json after = found->second;
  if (body.is_array()) {
    if (!Fits(after, body)) return Failure(kInvalid, "Invalid");
    after.patch_inplace(body);
  } else if (of_status) {
    after["status"] = body["status"];
  } else {
    after.merge_patch(body);
  }
  if (after != found->second) {
    if (after.value("spec", Json()) != found->second.value("spec", Json())) {
      after["metadata"]["generation"] = k8s::GenerationOf(after) + 1;
    }
    Stamp(after);
    found->second = after;
  }
  return {kOk, found->second};
}

void FakeApiServer::Stamp(Json& object) {
  object["metadata"]["resourceVersion"] = fmt::to_string(++version_);
  if (k8s::UidOf(object).empty()) object["metadata"]["uid"] = fmt::format("uid-{}", version_);
}

void FakeApiServer::Put(const k8s::ResourceType& type, Json object) {
  Stamp(object);
  const std::string path = k8s::PathOf(type, k8s::KeyOf(object), "");
  objects_[path] = std::move(object);
}

void FakeApiServer::Remove(const k8s::ResourceType& type, const k8s::ObjectKey& key) {
  objects_.erase(k8s::PathOf(type, key, ""));
}

Json FakeApiServer::Get(const k8s::ResourceType& type, const k8s::ObjectKey& key) const {
  const auto found = objects_.find(k8s::PathOf(type, key, ""));
  return found == objects_.end() ? Json() : found->second;
}

void FakeApiServer::Tell(Caches& caches, const std::vector<k8s::ResourceType>& types) {
  for (const k8s::ResourceType& type : types) {
    std::vector<Json> all;
    for (const auto& [path, object] : objects_) {
      const k8s::ObjectKey key = k8s::KeyOf(object);
      if (path == k8s::PathOf(type, key, "")) all.push_back(object);
    }
    caches.StoreOf(type, "").Replace(std::move(all));
  }
}

}  // namespace dunlin::op
