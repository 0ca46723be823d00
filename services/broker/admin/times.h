// Times as protobuf has them.

#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "services/base/clock.h"

namespace dunlin::broker {

inline void SetTime(Timestamp from, google::protobuf::Timestamp* to) {
  const int64_t millis = ToUnixMillis(from);
  to->set_seconds(millis / 1000);
  to->set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
}

}  // namespace dunlin::broker
