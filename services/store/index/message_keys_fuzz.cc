// Any bytes: ReadMessageKeys answers, and agrees with protobuf where both can read them.

#include <cstdint>
#include <string_view>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/check.h"
#include "services/store/index/message_keys.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto keys = dunlin::store::ReadMessageKeys(bytes, 0);
  if (!keys.ok()) return 0;
  apache::rocketmq::v2::Message message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  // What follows the one properties field is not looked at: a stored message ends with it.
  apache::rocketmq::v2::Message again;
  *again.mutable_system_properties() = message.system_properties();
  if (message.ByteSizeLong() != again.ByteSizeLong() || again.ByteSizeLong() != size) return 0;
  CHECK(keys->tag == message.system_properties().tag());
  CHECK(keys->message_id == message.system_properties().message_id());
  CHECK(keys->keys.size() == static_cast<size_t>(message.system_properties().keys_size()));
  return 0;
}
