"""Asks once for up to 16 messages of the topic hello and acknowledges each."""

import sys

from rocketmq import ClientConfiguration, Credentials, FilterExpression, SimpleConsumer

endpoint = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8081"
consumer = SimpleConsumer(
    ClientConfiguration(endpoint, Credentials()),
    "greeters-python",
    {"hello": FilterExpression()},
    await_duration=20,  # seconds an empty queue is waited for
)
consumer.startup()

# What is not acknowledged within 30 seconds is delivered again.
for message in consumer.receive(16, 30):
    print("received", message.body.decode())
    consumer.ack(message)

consumer.shutdown()
