#include "clients/cli/cluster_settings.h"

namespace dunlin::cli {

admin::v1::Rate RateBack(const admin::v1::Rate& change, const admin::v1::Rate& before) {
  admin::v1::Rate back;
  if (change.has_messages_per_second()) {
    back.set_messages_per_second(before.messages_per_second());
  }
  if (change.has_bytes_per_second()) back.set_bytes_per_second(before.bytes_per_second());
  return back;
}

}  // namespace dunlin::cli
