package quickstart;

import static java.nio.charset.StandardCharsets.UTF_8;

import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.producer.Producer;

/** Sends one message to the topic hello. */
public final class ProducerExample {
  public static void main(String[] args) throws Exception {
    String endpoint = args.length > 0 ? args[0] : "127.0.0.1:8081";
    ClientServiceProvider provider = ClientServiceProvider.loadService();
    ClientConfiguration configuration =
        ClientConfiguration.newBuilder().setEndpoints(endpoint).build();
    try (Producer producer =
        provider
            .newProducerBuilder()
            .setClientConfiguration(configuration)
            .setTopics("hello")
            .build()) {
      Message message =
          provider
              .newMessageBuilder()
              .setTopic("hello")
              .setTag("greeting")
              .setKeys("greeting-1")
              .setBody("Hello from Java".getBytes(UTF_8))
              .build();
      System.out.println("sent " + producer.send(message).getMessageId());
    }
  }
}
