"""Has a listener called for every message of the topic hello, until it is interrupted."""

import sys
import threading

from rocketmq import (ClientConfiguration, ConsumeResult, Credentials, FilterExpression,
                      MessageListener, PushConsumer)


class Greeter(MessageListener):
    def consume(self, message):
        print("received", message.body.decode(), flush=True)
        return ConsumeResult.SUCCESS  # FAILURE: deliver it again after a while


endpoint = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8081"
consumer = PushConsumer(
    ClientConfiguration(endpoint, Credentials()),
    "greeters-python",
    Greeter(),
    {"hello": FilterExpression()},
)
consumer.startup()
try:
    threading.Event().wait()
finally:
    consumer.shutdown()
