package quickstart;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;

/** Asks once for up to 16 messages of the topic hello and acknowledges each. */
public final class SimpleConsumerExample {
  public static void main(String[] args) throws Exception {
    String endpoint = args.length > 0 ? args[0] : "127.0.0.1:8081";
    try (SimpleConsumer consumer =
        ClientServiceProvider.loadService()
            .newSimpleConsumerBuilder()
            .setClientConfiguration(ClientConfiguration.newBuilder().setEndpoints(endpoint).build())
            .setConsumerGroup("greeters-java")
            .setAwaitDuration(Duration.ofSeconds(20)) // how long an empty queue is waited for
            .setSubscriptionExpressions(Map.of("hello", FilterExpression.SUB_ALL))
            .build()) {
      // What is not acknowledged within 30 seconds is delivered again.
      for (MessageView message : consumer.receive(16, Duration.ofSeconds(30))) {
        System.out.println("received " + UTF_8.decode(message.getBody()));
        consumer.ack(message);
      }
    }
  }
}
