#!/usr/bin/env python3
"""Compares proto/apache/rocketmq/v2 with the descriptors inside an official RocketMQ SDK.

Needs the PyPI package rocketmq-python-client (./dev setup puts it into .venv) and protoc. Every
message, field, enum value and method is one case: its number, type, label, presence, oneof and
streaming must be the same on both sides. The last line is `N passed, N failed, 0 skipped`.
"""

import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

PACKAGE = "apache.rocketmq.v2"
PROTOS = "proto/apache/rocketmq/v2"
ROOT = pathlib.Path(__file__).resolve().parents[3]

# What our contract has and SDK 5.1.2's copy of it does not, and why: a name covers what is inside.
CLIENT_PROPERTIES = "clients may describe themselves since after the SDK was cut"
OPERATOR_API = "the operator API grew beyond ChangeLogLevel after the SDK was cut"
NEWER_HERE = {
    "Code.INVALID_CLIENT_PROPERTIES": CLIENT_PROPERTIES,
    "Settings.ClientPropertiesEntry": CLIENT_PROPERTIES,
    "Settings.client_properties": CLIENT_PROPERTIES,
}
NEWER_METHODS = {  # of Admin: the name of its messages, where they are its own
    "AdminSendMessage": "AdminSendMessage",
    "DeleteSubscription": "DeleteSubscription",
    "DescribeGroupAccumulation": "DescribeGroupAccumulation",
    "DescribeSubscription": "DescribeSubscription",
    "DescribeTopicStatus": "DescribeTopicStatus",
    "GetConsumerRunningInfo": "GetConsumerRunningInfo",
    "GetProxyRuntimeStats": "GetProxyRuntimeStats",
    "GetTopicRoute": "GetTopicRoute",
    "ListConsumerConnection": "ListConsumerConnection",
    "ListSubscription": "ListSubscription",
    "PrintThreadStackTrace": "PrintThreadStackTrace",
    "QueryMessage": "ListMessage",
    "QueryTimeSpan": "QueryTimeSpan",
    "ResetGroupOffset": "ResetGroupOffset",
    "VerifyMessage": "VerifyMessage",
}
for method, messages in NEWER_METHODS.items():
    for name in ("Admin." + method, messages + "Request", messages + "Response"):
        NEWER_HERE[name] = OPERATOR_API
for name in ("ClientInfo", "ConsumeStatus", "ConsumerRunningInfo", "MessageModel",
             "MessageQueueItem", "ProcessQueueInfo", "SubscriptionInfo"):
    NEWER_HERE[name] = OPERATOR_API


def shape_of_field(message, field):
    kinds = descriptor_pb2.FieldDescriptorProto
    parts = ["number %d" % field.number, kinds.Label.Name(field.label).lower()[6:],
             kinds.Type.Name(field.type).lower()[5:]]
    if field.type_name:
        parts.append(field.type_name.lstrip("."))
    if field.proto3_optional:
        parts.append("explicit presence")
    elif field.HasField("oneof_index"):
        parts.append("oneof " + message.oneof_decl[field.oneof_index].name)
    return ", ".join(parts)


def add_enum(shapes, scope, enum):
    name = scope + enum.name
    shapes[name] = "enum"
    for value in enum.value:
        shapes["%s.%s" % (name, value.name)] = "number %d" % value.number


def add_message(shapes, scope, message):
    name = scope + message.name
    shapes[name] = "map entry" if message.options.map_entry else "message"
    for field in message.field:
        shapes["%s.%s" % (name, field.name)] = shape_of_field(message, field)
    for enum in message.enum_type:
        add_enum(shapes, name + ".", enum)
    for nested in message.nested_type:
        add_message(shapes, name + ".", nested)


def shapes_of(file):
    """{case: shape} of one FileDescriptorProto."""
    shapes = {}
    for message in file.message_type:
        add_message(shapes, "", message)
    for enum in file.enum_type:
        add_enum(shapes, "", enum)
    for service in file.service:
        shapes[service.name] = "service"
        for method in service.method:
            shapes["%s.%s" % (service.name, method.name)] = "%s%s returns %s%s" % (
                "stream " if method.client_streaming else "", method.input_type.lstrip("."),
                "stream " if method.server_streaming else "", method.output_type.lstrip("."))
    return shapes


def ours():
    """{case: shape} of what protoc makes of our files."""
    sources = sorted(str(p.relative_to(ROOT)) for p in (ROOT / PROTOS).glob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", "-I.", "--descriptor_set_out=" + out.name] + sources, cwd=ROOT,
                       check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    return {case: shape for file in files.file for case, shape in shapes_of(file).items()}


def theirs():
    """{case: shape} of what the SDK ships."""
    from rocketmq.grpc_protocol import admin_pb2, definition_pb2, service_pb2
    result = {}
    for module in (definition_pb2, service_pb2, admin_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        if file.package != PACKAGE:
            raise SystemExit("compare: the SDK's %s is of package %s" % (file.name, file.package))
        result.update(shapes_of(file))
    return result


def listed_as(case):
    """The entry of NEWER_HERE that covers `case`, or None."""
    parts = case.split(".")
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        if name in NEWER_HERE:
            return name
    return None


def main():
    mine, other = ours(), theirs()
    passed, problems, newer, used = 0, [], 0, set()
    for case in sorted(mine.keys() | other.keys()):
        if mine.get(case) == other.get(case):
            passed += 1
        elif case not in mine:
            problems.append("%s is missing here; the SDK has: %s" % (case, other[case]))
        elif case in other:
            problems.append("%s is here: %s; in the SDK: %s" % (case, mine[case], other[case]))
        elif listed_as(case):
            used.add(listed_as(case))
            newer += 1
        else:
            problems.append("%s is unknown to the SDK: %s" % (case, mine[case]))
    for problem in problems:
        print("FAILED " + problem)
    for reason in sorted({NEWER_HERE[name] for name in used}):
        names = sorted(name for name in used if NEWER_HERE[name] == reason)
        print("newer here (%s): %s" % (reason, ", ".join(names)))
    for name in sorted(NEWER_HERE.keys() - used):
        print("no longer newer here, take it off the list: " + name)
    print("compare: %d cases compared, %d newer here" % (passed + len(problems), newer))
    print("%d passed, %d failed, 0 skipped" % (passed, len(problems)))
    return 1 if problems or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
