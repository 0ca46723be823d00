#include "services/broker/rpc/orphan_link.h"

#include <string>
#include <utility>

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/status_macros.h"
#include "services/broker/rpc/message_encoder.h"
#include "services/broker/transactions/transaction_id.h"

namespace dunlin::broker {

namespace v2 = apache::rocketmq::v2;

absl::StatusOr<ProducerLink::Outcome> OrphanLink::Ask(const Topic& topic,
                                                      const store::Transaction& half) {
  ProducerSessions& sessions = services_.producer_sessions;
  const std::string name = QualifiedName(topic.name_space, topic.name);
  // The message is not read for nothing.
  if (!sessions.HasAny(name)) return Outcome::kNobody;
  store::IndexEntry entry;
  entry.log_offset = half.place;
  entry.length = 1;  // what matters is that it is not 0
  ASSIGN_OR_RETURN(const Delivered found, services_.taker.ReadEntry(entry));
  v2::Resource resource;
  resource.set_resource_namespace(topic.name_space);
  resource.set_name(topic.name);
  ASSIGN_OR_RETURN(v2::Message message, ShowHalf(services_, resource, found));
  v2::TelemetryCommand command;
  v2::RecoverOrphanedTransactionCommand& question =
      *command.mutable_recover_orphaned_transaction_command();
  question.set_transaction_id(Encode(MakeTransactionId(
      topic.id, half.id, message.system_properties().message_id(), services_.mark)));
  *question.mutable_message() = std::move(message);
  switch (sessions.Offer(name, command.SerializeAsString())) {
    case ProducerSessions::Outcome::kOffered:
      return Outcome::kAsked;
    case ProducerSessions::Outcome::kBusy:
      return Outcome::kBusy;
    case ProducerSessions::Outcome::kNobody:
      break;
  }
  return Outcome::kNobody;
}

}  // namespace dunlin::broker
