package quickstart;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Map;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;

/** Has a listener called for every message of the topic hello, until it is interrupted. */
public final class PushConsumerExample {
  public static void main(String[] args) throws Exception {
    String endpoint = args.length > 0 ? args[0] : "127.0.0.1:8081";
    try (PushConsumer consumer =
        ClientServiceProvider.loadService()
            .newPushConsumerBuilder()
            .setClientConfiguration(ClientConfiguration.newBuilder().setEndpoints(endpoint).build())
            .setConsumerGroup("greeters-java")
            .setSubscriptionExpressions(Map.of("hello", FilterExpression.SUB_ALL))
            .setMessageListener(
                message -> {
                  System.out.println("received " + UTF_8.decode(message.getBody()));
                  return ConsumeResult.SUCCESS; // FAILURE: deliver it again after a while
                })
            .build()) {
      Thread.currentThread().join();
    }
  }
}
