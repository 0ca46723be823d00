package compat;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.java.message.MessageBuilderImpl;

/**
 * Message number i of the round trip: everything but the random body follows from i, so a receiver
 * can tell what it should have got. The body's SHA-256 travels in a property.
 */
final class Sample {
  private static final int LARGEST_BODY_BYTES = 4 << 20;
  private static final int MOST_PROPERTIES = 128;
  private static final String[] TAGS = {"plain", "étiquette", "标签"};

  private Sample() {}

  static Message message(String topic, int i) {
    byte[] body = new byte[bodyBytes(i)];
    ThreadLocalRandom.current().nextBytes(body);
    MessageBuilderImpl builder = new MessageBuilderImpl();
    builder.setTopic(topic).setBody(body).setTag(tag(i)).setKeys(keys(i).toArray(new String[0]));
    properties(i, sha256(ByteBuffer.wrap(body))).forEach(builder::addProperty);
    return builder.build();
  }

  /** Returns which message this is; throws when any part of it is not what was sent. */
  static int check(MessageView view) {
    String index = view.getProperties().get("index");
    Check.that(index != null, "the property 'index' is lost");
    int i = Integer.parseInt(index);
    String digest = sha256(view.getBody());
    Check.equal("body size of " + i, bodyBytes(i), view.getBody().remaining());
    Check.equal("properties of " + i, properties(i, digest), view.getProperties());
    Check.equal("tag of " + i, tag(i), view.getTag().orElse(null));
    Check.equal("keys of " + i, keys(i), List.copyOf(view.getKeys()));
    return i;
  }

  /** Mostly small, with a tail: 1 in 10 is some KiB, 1 in 100 over 128 KiB, 1 in 1000 4 MiB. */
  private static int bodyBytes(int i) {
    if (i % 1000 == 500) return LARGEST_BODY_BYTES;
    if (i % 100 == 50) return (128 << 10) + i;
    if (i % 10 == 5) return 4096 + i % 4096;
    return 1 + i * 7919 % 1024;
  }

  private static String tag(int i) {
    return TAGS[i % TAGS.length];
  }

  private static List<String> keys(int i) {
    return List.of("order-" + i, "订单-" + i, "part-" + i % 10);
  }

  private static Map<String, String> properties(int i, String digest) {
    Map<String, String> properties = new HashMap<>();
    properties.put("index", Integer.toString(i));
    properties.put("sha256", digest);
    properties.put("text", "Grüße, 消息 🐦 " + i);
    properties.put("ключ", "значение");
    if (i % 500 == 7) {
      for (int n = properties.size(); n < MOST_PROPERTIES; n++) {
        properties.put("extra-" + n, "value-" + i + "-" + n);
      }
    }
    return properties;
  }

  private static String sha256(ByteBuffer body) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(body.duplicate());
      StringBuilder hex = new StringBuilder();
      for (byte b : digest.digest()) hex.append(String.format("%02x", b));
      return hex.toString();
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }
}
