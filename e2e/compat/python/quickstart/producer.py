"""Sends one message to the topic hello."""

import sys

from rocketmq import ClientConfiguration, Credentials, Message, Producer

endpoint = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8081"
producer = Producer(ClientConfiguration(endpoint, Credentials()), ["hello"])
producer.startup()

message = Message()
message.topic = "hello"
message.tag = "greeting"
message.keys = "greeting-1"
message.body = "Hello from Python".encode()
print("sent", producer.send(message).message_id)

producer.shutdown()
