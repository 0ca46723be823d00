// ApiCall: a call of the API as a value, and the functions that make them. Pure; any thread.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "operator/k8s/json.h"
#include "operator/k8s/object.h"

namespace dunlin::k8s {

struct ApiCall {
  std::string method;
  std::string path;          // with its query
  std::string content_type;  // empty: there is no body
  std::string body;
  // Doing it twice is doing it once.
  bool idempotent = false;
};

ApiCall Get(const ResourceType& type, const ObjectKey& key);

struct ListOptions {
  std::string space;  // empty: all namespaces
  std::string label_selector;
  std::string field_selector;
  int page_size = 500;
};

// One page; `continue_token` is metadata.continue of the page before, empty for the first. The
// first page is of the newest state, and those behind it of the same.
ApiCall List(const ResourceType& type, const ListOptions& options,
             std::string_view continue_token = "");

struct WatchOptions {
  std::string resource_version;  // from which on; that of a list, an event or a bookmark
  int timeout_seconds = 300;     // after which the server ends it
};

ApiCall Watch(const ResourceType& type, const ListOptions& which, const WatchOptions& options);

// ALREADY_EXISTS when there is one of that name.
ApiCall Create(const ResourceType& type, const Json& object);
// Everything but the status. ABORTED (Conflict) when it is not of `object`'s resourceVersion.
ApiCall Replace(const ResourceType& type, const Json& object);

struct ApplyOptions {
  std::string field_manager;
  // Takes fields that others own. Without it that is ABORTED (Conflict), whose causes name them.
  bool force = false;
  bool dry_run = false;
};

// Server-side apply: makes the object, or the fields that are set in it, so; fields that this
// manager set before and no longer does are removed. `object` has neither status, managedFields nor
// resourceVersion (with one: only if it is still of that version).
ApiCall Apply(const ResourceType& type, const Json& object, const ApplyOptions& options);
// The same for the status only; the rest of `object` is its identity.
ApiCall ApplyStatus(const ResourceType& type, const Json& object, const ApplyOptions& options);

// RFC 6902: as made by AddFinalizerPatch.
ApiCall JsonPatch(const ResourceType& type, const ObjectKey& key, const Json& patch);
// RFC 7386.
ApiCall MergePatch(const ResourceType& type, const ObjectKey& key, const Json& patch);

enum class Propagation { kBackground, kForeground, kOrphan };

struct DeleteOptions {
  // Only if it is this one; otherwise ABORTED (Conflict). Empty: whichever has the name.
  std::string uid;
  std::string resource_version;
  Propagation propagation = Propagation::kBackground;
  std::optional<int> grace_seconds;  // pods
};

ApiCall Delete(const ResourceType& type, const ObjectKey& key, const DeleteOptions& options = {});

}  // namespace dunlin::k8s
