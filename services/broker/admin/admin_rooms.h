// AdminRooms: the rooms that admin commands look into.

#pragma once

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/broker/admission/intake.h"
#include "services/broker/clients/client_registry.h"
#include "services/broker/clients/subscription_table.h"
#include "services/broker/delivery/cold_reads.h"
#include "services/broker/delivery/lite_delivery.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/delivery/waiting_room.h"
#include "services/broker/progress/progress.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/trace/message_trace.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"
#include "services/store/retention/retention.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

// All outlive the commands.
struct AdminRooms {
  const config::v1::BrokerConfig& config;
  const Clock& clock;
  store::CommitLog& log;
  store::StateStore& state;
  store::Dispatcher& dispatcher;
  store::Retention& retention;
  TopicTable& topics;
  Progress& progress;
  Taker& taker;
  WaitingRoom& waiting_room;
  ClientRegistry& clients;
  const SubscriptionTable& subscriptions;
  const Intake& intake;
  const MessageTrace& trace;
  LiteDelivery& lite;
  const ColdReads& cold_reads;
  Timestamp started;  // of the broker
};

}  // namespace dunlin::broker
