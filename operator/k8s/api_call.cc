#include "operator/k8s/api_call.h"

#include <fmt/format.h>

#include <utility>

#include "services/base/check.h"

namespace dunlin::k8s {
namespace {

constexpr std::string_view kJson = "application/json";

// "?a=b&c=d"; what is empty is left out.
class Query {
 public:
  Query& Add(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    text_ += fmt::format("{}{}={}", text_.empty() ? '?' : '&', name, PercentEncode(value));
    return *this;
  }
  Query& Add(std::string_view name, int value) { return Add(name, std::to_string(value)); }
  const std::string& Text() const { return text_; }

 private:
  std::string text_;
};

ObjectKey Named(const Json& object) {
  ObjectKey key = KeyOf(object);
  CHECK(!key.name.empty(), PrintJson(object));
  return key;
}

ApiCall ApplyAt(const std::string& path, const Json& object, const ApplyOptions& options) {
  CHECK(!options.field_manager.empty());
  Query query;
  query.Add("fieldManager", options.field_manager).Add("force", options.force ? "true" : "false");
  // What we misspell is our mistake, and is to be heard of.
  query.Add("fieldValidation", "Strict");
  if (options.dry_run) query.Add("dryRun", "All");
  return {.method = "PATCH",
          .path = path + query.Text(),
          // JSON is YAML.
          .content_type = "application/apply-patch+yaml",
          .body = PrintJson(object),
          .idempotent = true};
}

std::string_view NameOf(Propagation propagation) {
  switch (propagation) {
    case Propagation::kForeground:
      return "Foreground";
    case Propagation::kOrphan:
      return "Orphan";
    case Propagation::kBackground:
      break;
  }
  return "Background";
}

}  // namespace

ApiCall Get(const ResourceType& type, const ObjectKey& key) {
  CHECK(!key.name.empty());
  return {.method = "GET",
          .path = PathOf(type, key, ""),
          .content_type = "",
          .body = "",
          .idempotent = true};
}

ApiCall List(const ResourceType& type, const ListOptions& options,
             std::string_view continue_token) {
  Query query;
  query.Add("labelSelector", options.label_selector)
      .Add("fieldSelector", options.field_selector)
      .Add("limit", options.page_size)
      .Add("continue", continue_token);
  return {.method = "GET",
          .path = PathOf(type, {.space = options.space, .name = ""}, "") + query.Text(),
          .content_type = "",
          .body = "",
          .idempotent = true};
}

ApiCall Watch(const ResourceType& type, const ListOptions& which, const WatchOptions& options) {
  Query query;
  query.Add("watch", "true")
      .Add("allowWatchBookmarks", "true")
      .Add("labelSelector", which.label_selector)
      .Add("fieldSelector", which.field_selector)
      .Add("resourceVersion", options.resource_version)
      .Add("timeoutSeconds", options.timeout_seconds);
  return {.method = "GET",
          .path = PathOf(type, {.space = which.space, .name = ""}, "") + query.Text(),
          .content_type = "",
          .body = "",
          .idempotent = true};
}

ApiCall Create(const ResourceType& type, const Json& object) {
  const ObjectKey key{.space = KeyOf(object).space, .name = ""};
  return {.method = "POST",
          .path = PathOf(type, key, ""),
          .content_type = std::string(kJson),
          .body = PrintJson(object),
          .idempotent = false};
}

ApiCall Replace(const ResourceType& type, const Json& object) {
  return {.method = "PUT",
          .path = PathOf(type, Named(object), ""),
          .content_type = std::string(kJson),
          .body = PrintJson(object),
          .idempotent = false};  // done twice, the second is a conflict with the first
}

ApiCall Apply(const ResourceType& type, const Json& object, const ApplyOptions& options) {
  return ApplyAt(PathOf(type, Named(object), ""), object, options);
}

ApiCall ApplyStatus(const ResourceType& type, const Json& object, const ApplyOptions& options) {
  return ApplyAt(PathOf(type, Named(object), "status"), object, options);
}

ApiCall JsonPatch(const ResourceType& type, const ObjectKey& key, const Json& patch) {
  return {.method = "PATCH",
          .path = PathOf(type, key, ""),
          .content_type = "application/json-patch+json",
          .body = PrintJson(patch),
          .idempotent = false};
}

ApiCall MergePatch(const ResourceType& type, const ObjectKey& key, const Json& patch) {
  return {.method = "PATCH",
          .path = PathOf(type, key, ""),
          .content_type = "application/merge-patch+json",
          .body = PrintJson(patch),
          .idempotent = true};
}

ApiCall Delete(const ResourceType& type, const ObjectKey& key, const DeleteOptions& options) {
  CHECK(!key.name.empty());  // or it would delete all of them
  Json body = {{"apiVersion", "v1"},
               {"kind", "DeleteOptions"},
               {"propagationPolicy", NameOf(options.propagation)}};
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  if (!options.resource_version.empty()) {
    body["preconditions"]["resourceVersion"] = options.resource_version;
  }
  if (options.grace_seconds.has_value()) body["gracePeriodSeconds"] = *options.grace_seconds;
  return {.method = "DELETE",
          .path = PathOf(type, key, ""),
          .content_type = std::string(kJson),
          .body = PrintJson(body),
          .idempotent = true};
}

}  // namespace dunlin::k8s
