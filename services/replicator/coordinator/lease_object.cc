#include "services/replicator/coordinator/lease_object.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

#include "operator/k8s/rfc3339.h"
#include "services/base/status_macros.h"
#include "services/replicator/coordinator/group_json.h"

namespace dunlin::replicator {
namespace {

constexpr char kRecord[] = "dunlin.dev/record";
constexpr char kRecordVersion[] = "dunlin.dev/record-version";
constexpr char kHolder[] = "dunlin.dev/holder";
constexpr char kGrant[] = "dunlin.dev/grant";
constexpr char kWrites[] = "dunlin.dev/writes";

absl::StatusOr<int64_t> Count(const k8s::Json& object, std::string_view annotation) {
  const std::string_view text = k8s::AnnotationOf(object, annotation);
  if (text.empty()) return 0;
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 0) {
    return absl::DataLossError(fmt::format("annotation {} of Lease {} is no count: \"{}\"",
                                           annotation, k8s::KeyOf(object).ToString(), text));
  }
  return count;
}

void CountUp(k8s::Json& object, const char* annotation) {
  const int64_t before = Count(object, annotation).value_or(0);
  object["metadata"]["annotations"][annotation] = fmt::to_string(before + 1);
}

}  // namespace

const k8s::ResourceType& LeaseType() {
  static const k8s::ResourceType type{.group = "coordination.k8s.io",
                                      .version = "v1",
                                      .plural = "leases",
                                      .kind = "Lease",
                                      .namespaced = true};
  return type;
}

absl::StatusOr<LeaseObject> LeaseObject::Read(const k8s::Json& object) {
  LeaseObject read;
  if (object.is_null()) return read;
  ASSIGN_OR_RETURN(read.writes, Count(object, kWrites));
  ASSIGN_OR_RETURN(read.version, Count(object, kRecordVersion));
  if (read.version > 0) {
    ASSIGN_OR_RETURN(read.record,
                     GroupRecordFromJson(std::string(k8s::AnnotationOf(object, kRecord))));
  }
  // Whoever empties holderIdentity by hand frees the lease.
  if (!k8s::StringAt(object, {"spec", "holderIdentity"}).empty()) {
    ASSIGN_OR_RETURN(read.holder,
                     LeaseHolderFromJson(std::string(k8s::AnnotationOf(object, kHolder))));
    read.grant = k8s::AnnotationOf(object, kGrant);
    read.duration = std::chrono::seconds(k8s::IntAt(object, {"spec", "leaseDurationSeconds"}));
  }
  return read;
}

void BeginWrite(k8s::Json& object, Timestamp now) {
  CountUp(object, kWrites);
  object["spec"]["renewTime"] = k8s::FormatMicroTime(now);
}

void WriteRecord(k8s::Json& object, const GroupRecord& record) {
  CountUp(object, kRecordVersion);
  object["metadata"]["annotations"][kRecord] = ToJson(record);
}

void WriteGrant(k8s::Json& object, const LeaseHolder& holder, const std::string& grant,
                std::chrono::seconds duration, Timestamp now) {
  k8s::Json& spec = object["spec"];
  const int64_t transitions = k8s::IntAt(object, {"spec", "leaseTransitions"}, -1);
  spec["leaseTransitions"] = transitions + 1;
  spec["holderIdentity"] = holder.name;
  spec["leaseDurationSeconds"] = duration.count();
  spec["acquireTime"] = k8s::FormatMicroTime(now);
  object["metadata"]["annotations"][kHolder] = ToJson(holder);
  object["metadata"]["annotations"][kGrant] = grant;
}

void EraseGrant(k8s::Json& object) {
  object["spec"]["holderIdentity"] = "";
  object["metadata"]["annotations"].erase(kHolder);
  object["metadata"]["annotations"].erase(kGrant);
}

}  // namespace dunlin::replicator
