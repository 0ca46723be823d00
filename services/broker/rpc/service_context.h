// ServiceContext: the rooms that the RPC adapters call, by reference; made by the composition root.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/broker/access/access_control.h"
#include "services/broker/admission/intake.h"
#include "services/broker/clients/client_registry.h"
#include "services/broker/clients/producer_sessions.h"
#include "services/broker/clients/subscription_table.h"
#include "services/broker/delivery/cold_reads.h"
#include "services/broker/delivery/dead_letters.h"
#include "services/broker/delivery/lite_delivery.h"
#include "services/broker/delivery/taker.h"
#include "services/broker/delivery/waiting_room.h"
#include "services/broker/filter/filter_cache.h"
#include "services/broker/producers/producer_table.h"
#include "services/broker/progress/progress.h"
#include "services/broker/registration/external_address.h"
#include "services/broker/rpc/command_streams.h"
#include "services/broker/rpc/other_brokers.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/trace/message_trace.h"
#include "services/broker/transactions/lookup.h"
#include "services/broker/wire/broker_mark.h"
#include "services/runtime/executor.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"
#include "services/store/retention/retention.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

// Everything outlives the services.
struct ServiceContext {
  const config::v1::BrokerConfig& config;
  const Clock& clock;
  store::CommitLog& log;
  store::StateStore& state;
  store::Dispatcher& dispatcher;
  store::Retention& retention;
  TopicTable& topics;
  Progress& progress;
  DeadLetters& dead_letters;
  Taker& taker;
  WaitingRoom& waiting_room;
  ClientRegistry& clients;
  SubscriptionTable& subscriptions;
  ProducerTable& producers;
  ProducerSessions& producer_sessions;
  FilterCache& filters;
  Intake& intake;
  MessageTrace& trace;
  Executor& executor;
  LiteDelivery& lite;
  TransactionLookup& transactions;
  CommandStreams& command_streams;
  ColdReads& cold_reads;
  const AccessControl& access;
  // Host and port put into routes when the client does not say how it reached the server.
  std::string advertised_host;
  int32_t advertised_port = 0;
  // Where clients reach name services; not where they reach this broker.
  std::vector<int32_t> name_service_ports;
  // Where clients outside of the brokers' network reach this one.
  ExternalAddress& external_address;
  // Those of the cluster, as far as name services know them; null: there are none.
  OtherBrokers* others = nullptr;
  // Of a slave: the log is somebody else's to write. Only what reads is served.
  bool read_only = false;
  BrokerMark mark = kNoMark;  // of this broker

  // What is marked so is at another broker of the cluster.
  bool IsOfAnother(BrokerMark marked) const {
    return others != nullptr && marked != kNoMark && marked != mark;
  }
};

}  // namespace dunlin::broker
