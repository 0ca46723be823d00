#!/usr/bin/env python3
"""Writes the Grafana dashboards of the chart: charts/tools/dashboards.py. What is shown stands
here, once; the JSON in charts/dunlin/dashboards is what Grafana reads."""

import json
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "dunlin/dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 8, 7


def variable(name, query):
    return {"name": name, "label": name, "type": "query", "datasource": SOURCE,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "multi": True,
            "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}


def panel(title, unit, *queries, kind="timeseries", text=""):
    """`queries`: (expression, legend)."""
    return {
        "title": title, "description": text, "type": kind, "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}}
                   if kind == "timeseries" else {"reduceOptions": {"calcs": ["lastNotNull"]}},
        "targets": [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expression,
                     "legendFormat": legend} for i, (expression, legend) in enumerate(queries)],
    }


def dashboard(name, title, variables, panels):
    for i, one in enumerate(panels):
        one["id"] = i + 1
        one["gridPos"] = {"w": WIDTH, "h": HEIGHT, "x": i % 3 * WIDTH, "y": i // 3 * HEIGHT}
    first = {"name": "datasource", "type": "datasource", "query": "prometheus", "current": {}}
    text = json.dumps({
        "uid": "dunlin-" + name, "title": "Dunlin / " + title, "tags": ["dunlin"],
        "schemaVersion": 38, "version": 1, "editable": True, "timezone": "",
        "refresh": "30s", "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["dunlin"], "title": "Dunlin",
                   "asDropdown": True, "includeVars": True, "keepTime": True}],
        "templating": {"list": [first] + variables}, "panels": panels,
    }, indent=1)
    return name + ".json", text + "\n"


NAMESPACE = variable("namespace", "label_values(process_threads, namespace)")
GROUP = variable("group", 'label_values(dunlin_replicator_role{namespace=~"$namespace"}, group)')
TOPIC = variable("topic", "label_values(rocketmq_messages_in_total"
                 '{namespace=~"$namespace"}, topic)')
CONSUMERS = variable("consumer_group", "label_values(rocketmq_consumer_lag_messages"
                     '{namespace=~"$namespace"}, consumer_group)')
N = 'namespace=~"$namespace"'
G = N + ', group=~"$group"'
T = N + ', topic=~"$topic"'
C = T + ', consumer_group=~"$consumer_group"'
R = "[$__rate_interval]"

DASHBOARDS = [
    dashboard("overview", "Overview", [NAMESPACE], [
        panel("Masters", "short", (f"sum(dunlin_broker_master{{{N}}})", "masters"), kind="stat"),
        panel("Members", "short", (f"max(dunlin_nameservice_members{{{N}}})", "registered"),
              kind="stat"),
        panel("Topics, groups", "short",
              (f"max(rocketmq_topic_number{{{N}}})", "topics"),
              (f"max(rocketmq_consumer_group_number{{{N}}})", "consumer groups"), kind="stat"),
        panel("Messages in", "cps",
              (f"sum by (node_id) (rate(rocketmq_messages_in_total{{{N}}}{R}))", "{{node_id}}")),
        panel("Written to the log", "Bps",
              (f"sum by (node_id) (rate(dunlin_broker_log_appended_bytes_total{{{N}}}{R}) "
               f"and dunlin_broker_master{{{N}}} == 1)", "{{node_id}}")),
        panel("Messages that are not done", "short",
              (f"topk(10, sum by (consumer_group) (rocketmq_consumer_lag_messages{{{N}}}))",
               "{{consumer_group}}")),
        panel("Clients, connections", "short",
              (f"sum(dunlin_broker_clients{{{N}}})", "clients"),
              (f"sum(dunlin_runtime_connections{{{N}}})", "connections")),
        panel("Sends under way", "short",
              (f"sum by (node_id) (dunlin_broker_pending_calls{{{N}}})", "{{node_id}}")),
        panel("Sends turned away", "cps",
              (f"sum by (node_id) (rate(dunlin_broker_refused_sends_total{{{N}}}{R}))",
               "{{node_id}}")),
        panel("Disk in use", "percentunit",
              (f"1 - dunlin_broker_disk_free_bytes{{{N}}} / dunlin_broker_disk_size_bytes{{{N}}}",
               "{{pod}}")),
        panel("Memory", "bytes", (f"process_resident_memory_bytes{{{N}}}", "{{pod}} {{job}}")),
        panel("CPU", "short", (f"rate(process_cpu_seconds_total{{{N}}}{R})", "{{pod}} {{job}}")),
        panel("Name services: routes told", "short",
              (f"dunlin_nameservice_ready{{{N}}}", "{{pod}}"), text="1: ready."),
        panel("Name services: watches", "short",
              (f"dunlin_nameservice_watches{{{N}}}", "{{pod}}")),
        panel("Versions", "short", (f"count by (version) (dunlin_build_info{{{N}}})",
                                    "{{version}}"), kind="stat"),
    ]),
    dashboard("broker-group", "Broker group", [NAMESPACE, GROUP], [
        panel("Role", "short", (f"dunlin_replicator_role{{{G}}}", "{{group}} {{pod}}"),
              text="0 none, 1 slave, 2 master."),
        panel("Epoch", "short", (f"max by (group) (dunlin_replicator_epoch{{{G}}})", "{{group}}")),
        panel("Takes messages", "short",
              (f"dunlin_replicator_accepting{{{G}}}", "{{group}} {{pod}}")),
        panel("In sync", "short",
              (f"max by (group) (dunlin_replicator_in_sync_members{{{G}}} "
               f"and dunlin_replicator_role{{{G}}} == 2)", "{{group}}")),
        panel("Slaves behind", "bytes",
              (f"max by (group, member) (dunlin_replicator_lag_bytes{{{G}}})",
               "{{group}} {{member}}")),
        panel("Slaves behind, in time", "s",
              (f"max by (group, member) (dunlin_replicator_lag_seconds{{{G}}})",
               "{{group}} {{member}}")),
        panel("Not confirmed yet", "bytes",
              (f"dunlin_replicator_end_bytes{{{G}}} - dunlin_replicator_confirm_bytes{{{G}}}",
               "{{group}} {{pod}}")),
        panel("Elections", "short",
              (f"sum by (group) (increase(dunlin_replicator_elections_total{{{G}}}[1h]))",
               "{{group}} within an hour")),
        panel("Log", "Bps",
              (f"rate(dunlin_broker_log_appended_bytes_total{{{G}}}{R})", "{{group}} {{pod}}")),
        panel("Not on disk yet", "bytes",
              (f"rocketmq_storage_flush_behind_bytes{{{G}}}", "{{group}} {{pod}}")),
        panel("Not in indexes yet", "bytes",
              (f"rocketmq_storage_dispatch_behind_bytes{{{G}}}", "{{group}} {{pod}}")),
        panel("Size of the log", "bytes", (f"rocketmq_storage_size{{{G}}}", "{{group}} {{pod}}")),
        panel("Free disk", "bytes",
              (f"dunlin_broker_disk_free_bytes{{{G}}}", "{{group}} {{pod}}")),
        panel("Delayed messages", "short",
              (f"dunlin_broker_delayed_messages{{{G}}}", "{{group}} {{pod}}")),
        panel("Open transactions", "short",
              (f"rocketmq_half_messages{{{G}}}", "{{group}} {{pod}}"),
              (f"dunlin_broker_parked_transactions{{{G}}}", "{{group}} {{pod}}, parked")),
        panel("Damage", "short",
              (f"dunlin_broker_damaged_ranges{{{G}}}", "{{group}} {{pod}}")),
    ]),
    dashboard("topics-consumers", "Topics and consumers", [NAMESPACE, TOPIC, CONSUMERS], [
        panel("Messages in", "cps",
              (f"sum by (topic) (rate(rocketmq_messages_in_total{{{T}}}{R}))", "{{topic}}")),
        panel("Messages done", "cps",
              (f"sum by (topic, consumer_group) (rate(dunlin_group_done_messages_total{{{C}}}{R}))",
               "{{consumer_group}} of {{topic}}")),
        panel("Consumers", "short",
              (f'sum by (consumer_group) (rocketmq_consumer_connections{{{N}, '
               'consumer_group=~"$consumer_group"})', "{{consumer_group}}")),
        panel("Messages that are not done", "short",
              (f"sum by (topic, consumer_group) (rocketmq_consumer_lag_messages{{{C}}})",
               "{{consumer_group}} of {{topic}}")),
        panel("Age of the oldest of them", "ms",
              (f"max by (topic, consumer_group) (rocketmq_consumer_lag_latency{{{C}}})",
               "{{consumer_group}} of {{topic}}")),
        panel("Ready", "short",
              (f"sum by (topic, consumer_group) (rocketmq_consumer_ready_messages{{{C}}})",
               "{{consumer_group}} of {{topic}}")),
        panel("In flight", "short",
              (f"sum by (topic, consumer_group) (rocketmq_consumer_inflight_messages{{{C}}})",
               "{{consumer_group}} of {{topic}}")),
        panel("Waiting for redelivery", "short",
              (f"sum by (topic, consumer_group) (dunlin_group_retrying_messages{{{C}}})",
               "{{consumer_group}} of {{topic}}")),
        panel("Dead letters", "short",
              (f'sum by (topic) (rocketmq_messages_in_total{{{N}, topic=~"(.+/)?%DLQ%.+"}})',
               "{{topic}}")),
    ]),
    dashboard("operator", "Operator", [NAMESPACE], [
        panel("Leads", "short", (f"dunlin_operator_leader{{{N}}}", "{{pod}}")),
        panel("Resources", "short",
              (f"max by (kind, phase) (dunlin_operator_objects{{{N}}})", "{{kind}} {{phase}}")),
        panel("Looks", "cps",
              (f"sum by (kind, result) (rate(dunlin_operator_reconciles_total{{{N}}}{R}))",
               "{{kind}} {{result}}")),
        panel("How long a look takes (p99)", "s",
              (f"histogram_quantile(0.99, sum by (kind, le) "
               f"(rate(dunlin_operator_reconcile_duration_seconds_bucket{{{N}}}{R})))",
               "{{kind}}")),
        panel("Resources that wait", "short",
              (f"dunlin_operator_queue_depth{{{N}}}", "{{pod}} {{kind}}")),
        panel("Looks again after a failure", "cps",
              (f"sum by (kind) (rate(dunlin_operator_queue_retries_total{{{N}}}{R}))", "{{kind}}")),
        panel("Requests to the API server", "reqps",
              (f"sum by (verb, code) (rate(dunlin_operator_api_requests_total{{{N}}}{R}))",
               "{{verb}} {{code}}")),
        panel("Watches begun", "cps",
              (f"sum by (kind) (rate(dunlin_operator_watches_total{{{N}}}{R}))", "{{kind}}")),
        panel("Cannot be watched", "short",
              (f"max by (pod, kind) (dunlin_operator_watch_failing{{{N}}})", "{{pod}} {{kind}}")),
    ]),
]

if __name__ == "__main__":
    for file, content in DASHBOARDS:
        (OUT / file).write_text(content)
