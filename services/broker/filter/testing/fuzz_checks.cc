#include "services/broker/filter/testing/fuzz_checks.h"

#include <array>
#include <string>
#include <vector>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/bytes.h"
#include "services/base/check.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/filter/message_filter.h"
#include "services/broker/wire/send_scanner.h"
#include "services/broker/wire/testing/random_message.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

// One of each kind, NULL first.
constexpr std::array<std::string_view, 6> kValues = {"", "5", "-2.5", "true", "text", "9e99"};

SqlTruth Evaluate(const SqlFilter& filter) {
  SqlValues values(filter.properties().size());
  for (size_t i = 0; i < filter.properties().size(); ++i) {
    if (i % kValues.size() != 0) values.Set(i, kValues[i % kValues.size()]);
  }
  size_t searched = 0;
  return filter.Evaluate(values, searched);
}

// Expressions made of one that is right may be too long, or have too many conditions.
void CheckSame(const std::string& expression, SqlTruth truth) {
  const auto filter = SqlFilter::Parse(expression);
  if (filter.ok()) CHECK(Evaluate(*filter) == truth, expression);
}

// The values of a filter as the reader of stored messages finds them, by their names.
const SqlFilter& AllNames() {
  static const auto* const filter = new SqlFilter(
      *SqlFilter::Parse("TAGS = KEYS OR UNIQ_KEY = region OR a = b OR `\x5a` = `\xc3\xa9`"));
  return *filter;
}

std::string Joined(const v2::SystemProperties& properties) {
  std::string joined;
  int count = 0;
  for (const std::string& key : properties.keys()) {
    if (key.empty()) continue;
    if (count++ > 0) joined += ' ';
    joined += key;
  }
  return joined;
}

void CheckValue(const SqlValues& values, size_t place, bool is_there, const std::string& value) {
  CHECK(values.IsNull(place) != is_there, AllNames().properties()[place]);
  if (is_there) CHECK(values.Get(place) == value, AllNames().properties()[place]);
}

void CheckAgainstParser(const SqlValues& values, const v2::Message& message) {
  const v2::SystemProperties& system = message.system_properties();
  for (size_t i = 0; i < AllNames().properties().size(); ++i) {
    const std::string& name = AllNames().properties()[i];
    if (name == "TAGS") {
      CheckValue(values, i, !system.tag().empty(), system.tag());
    } else if (name == "KEYS") {
      CheckValue(values, i, !Joined(system).empty(), Joined(system));
    } else if (name == "UNIQ_KEY") {
      CheckValue(values, i, !system.message_id().empty(), system.message_id());
    } else {
      const auto found = message.user_properties().find(name);
      const bool is_there = found != message.user_properties().end();
      CheckValue(values, i, is_there, is_there ? found->second : "");
    }
  }
}

}  // namespace

void CheckAnySql(std::string_view expression) {
  const auto filter = SqlFilter::Parse(expression);
  if (!filter.ok()) {
    CHECK(CodeOf(filter.status()) == PublicCode::kIllegalFilterExpression);
    return;
  }
  CHECK(filter->properties().size() <= kMaxSqlProperties);
  const SqlTruth truth = Evaluate(*filter);
  // A comment at the end may hide what follows on its line.
  const std::string inner = "(" + std::string(expression) + "\n)";
  CheckSame(inner, truth);
  CheckSame("NOT " + inner, static_cast<SqlTruth>(2 - static_cast<int>(truth)));
  CheckSame("NOT NOT " + inner, truth);
  CheckSame(inner + " AND TRUE", truth);
  CheckSame(inner + " OR FALSE", truth);
  CheckSame(inner + " AND " + inner, truth);
  CheckSame(inner + " AND FALSE", SqlTruth::kFalse);
  CheckSame(inner + " OR TRUE", SqlTruth::kTrue);
  CheckSame(inner + " AND NOT " + inner,
            truth == SqlTruth::kUnknown ? SqlTruth::kUnknown : SqlTruth::kFalse);
}

void CheckAnyProperties(std::string_view request) {
  const absl::StatusOr<RawSend> send = ScanSend(request);
  if (!send.ok()) return;
  for (const RawMessage& message : send->messages) {
    const std::string payload = PayloadOf(message);
    const SqlProperties properties(AllNames().properties());
    SqlValues values(AllNames().properties().size());
    size_t searched = 0;
    CHECK(properties.Read(payload, message.properties_offset, values, searched));
    CHECK(searched <= payload.size());
    v2::Message parsed;
    CHECK(parsed.ParseFromString(payload));
    CheckAgainstParser(values, parsed);
  }
}

void CheckAnyFiltered(std::string_view bytes) {
  if (bytes.size() < sizeof(uint32_t)) return;
  const auto offset = LoadLittle<uint32_t>(bytes.data());
  const std::string_view payload = bytes.substr(sizeof(uint32_t));
  const SqlProperties properties(AllNames().properties());
  SqlValues values(AllNames().properties().size());
  size_t searched = 0;
  if (properties.Read(payload, offset, values, searched)) AllNames().Evaluate(values, searched);
}

}  // namespace dunlin::broker
