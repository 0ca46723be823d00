#include "operator/controller/writer.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "operator/k8s/api_error.h"
#include "operator/planner/name_service.h"
#include "operator/planner/objects.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {

using k8s::Json;

absl::Status Writer::MayWrite() const {
  if (may_write_()) return absl::OkStatus();
  return absl::FailedPreconditionError("another operator leads");
}

absl::StatusOr<Json> Writer::Write(k8s::ApiCall call) const {
  RETURN_IF_ERROR(MayWrite());
  return client_.Run(std::move(call));
}

// What is the operator's own says so, and whose it is.
absl::Status Writer::CheckOwner(const Plan::Apply& apply, const std::string& name) const {
  const absl::StatusOr<Json> there = client_.Run(k8s::Get(apply.type, k8s::KeyOf(apply.object)));
  if (absl::IsNotFound(there.status())) return absl::OkStatus();
  RETURN_IF_ERROR(there.status());
  for (const std::string_view label :
       {std::string_view("app.kubernetes.io/managed-by"), kGroupLabel, kNameServiceLabel}) {
    if (k8s::LabelOf(*there, label) == k8s::LabelOf(apply.object, label)) continue;
    return absl::AlreadyExistsError(
        fmt::format("{} is there already and belongs to somebody else: rename or delete it, or "
                    "make this resource anew under another name",
                    name));
  }
  return absl::OkStatus();
}

absl::Status Writer::Apply(const Json& resource, const Plan::Apply& apply,
                           const std::map<std::string, std::string>& known,
                           Written& written) const {
  const std::string name = PlanNameOf(apply.type, apply.object);
  // A pod is labelled by its UID.
  if (!known.contains(name) && k8s::UidOf(apply.object).empty()) {
    RETURN_IF_ERROR(CheckOwner(apply, name));
  }
  const absl::StatusOr<Json> applied =
      Write(k8s::Apply(apply.type, apply.object, {.field_manager = kFieldManager, .force = true}));
  if (!applied.ok()) {
    if (k8s::ApiErrorOf(applied.status()).has_value() && !k8s::IsConflict(applied.status())) {
      events_.Record(resource,
                     {.type = k8s::EventType::kWarning,
                      .reason = "ApplyFailed",
                      .action = "Apply",
                      .note = fmt::format("{}: {}", name, FromAbsl(applied.status().message()))});
    }
    return applied.status();
  }
  written.versions[name] = k8s::ResourceVersionOf(*applied);
  return absl::OkStatus();
}

absl::Status Writer::Remove(const Plan::Removal& removal) const {
  k8s::DeleteOptions options{.resource_version = removal.version};
  if (removal.orphans) options.propagation = k8s::Propagation::kOrphan;
  const absl::Status removed = Write(k8s::Delete(removal.type, removal.object, options)).status();
  return absl::IsNotFound(removed) || k8s::IsConflict(removed) ? absl::OkStatus() : removed;
}

absl::Status Writer::WriteStatus(const k8s::ResourceType& type, const Json& resource,
                                 const Json& status, Written& written) const {
  const std::string text = k8s::PrintJson(status);
  const Json* const before = k8s::Find(resource, {"status"});
  const bool as_written = written.status.empty() || written.status == text;
  // Or the cache has not got yet what was written.
  if (written.status == text || (as_written && before != nullptr && Holds(*before, status))) {
    written.status = text;
    return absl::OkStatus();
  }
  Json object = k8s::NewObject(type, k8s::KeyOf(resource));
  object["metadata"]["uid"] = k8s::UidOf(resource);
  object["status"] = status;
  const absl::Status done =
      Write(k8s::ApplyStatus(type, object, {.field_manager = kFieldManager, .force = true}))
          .status();
  if (absl::IsNotFound(done) || k8s::IsConflict(done)) return absl::OkStatus();  // it is gone
  RETURN_IF_ERROR(done);
  written.status = text;
  return absl::OkStatus();
}

std::string PlanNameOf(const k8s::ResourceType& type, const Json& object) {
  return fmt::format("{}/{}", type.kind, k8s::KeyOf(object).name);
}

void AddObserved(const k8s::ResourceType& type, const std::vector<k8s::Object>& objects,
                 const Written& written, std::map<std::string, std::string>& applied,
                 std::map<std::string, k8s::Object>& live) {
  for (const k8s::Object& object : objects) {
    const std::string name = PlanNameOf(type, *object);
    applied[name] = k8s::AnnotationOf(*object, kFingerprint);
    const auto version = written.versions.find(name);
    if (version != written.versions.end() && version->second == k8s::ResourceVersionOf(*object)) {
      continue;
    }
    live[name] = object;
  }
}

}  // namespace dunlin::op
