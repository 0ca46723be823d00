package compat;

import java.time.Duration;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientConfigurationBuilder;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.StaticSessionCredentialsProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.LitePushConsumer;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;

/** Makes the SDK's clients for one access point. */
final class Clients {
  private static final Duration POLL = Duration.ofSeconds(5);

  private final ClientServiceProvider provider = ClientServiceProvider.loadService();
  private final ClientConfiguration configuration;

  /** Signs as a user unless {@code accessKey} is empty. */
  Clients(String endpoint, boolean tls, String accessKey, String secretKey) {
    ClientConfigurationBuilder builder =
        ClientConfiguration.newBuilder().setEndpoints(endpoint).enableSsl(tls);
    if (!accessKey.isEmpty()) {
      builder.setCredentialProvider(
          new StaticSessionCredentialsProvider(accessKey, secretKey));
    }
    configuration = builder.build();
  }

  Producer producer() throws ClientException {
    return provider.newProducerBuilder().setClientConfiguration(configuration).build();
  }

  Producer producer(String topic, TransactionChecker checker) throws ClientException {
    return provider
        .newProducerBuilder()
        .setClientConfiguration(configuration)
        .setTopics(topic)
        .setTransactionChecker(checker)
        .build();
  }

  SimpleConsumer simpleConsumer(String topic, String group, String tags) throws ClientException {
    return simpleConsumer(topic, group, new FilterExpression(tags));
  }

  SimpleConsumer simpleConsumer(String topic, String group, FilterExpression filter)
      throws ClientException {
    return provider
        .newSimpleConsumerBuilder()
        .setClientConfiguration(configuration)
        .setConsumerGroup(group)
        .setAwaitDuration(POLL)
        .setSubscriptionExpressions(Map.of(topic, filter))
        .build();
  }

  PushConsumer pushConsumer(String topic, String group, MessageListener listener)
      throws ClientException {
    return provider
        .newPushConsumerBuilder()
        .setClientConfiguration(configuration)
        .setConsumerGroup(group)
        .setConsumptionThreadCount(8)
        .setSubscriptionExpressions(Map.of(topic, FilterExpression.SUB_ALL))
        .setMessageListener(listener)
        .build();
  }

  LitePushConsumer litePushConsumer(String topic, String group, MessageListener listener)
      throws ClientException {
    return provider
        .newLitePushConsumerBuilder()
        .bindTopic(topic)
        .setClientConfiguration(configuration)
        .setConsumerGroup(group)
        .setConsumptionThreadCount(8)
        .setMessageListener(listener)
        .build();
  }
}
