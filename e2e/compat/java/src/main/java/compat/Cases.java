package compat;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.apache.rocketmq.client.apis.ClientException;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.LitePushConsumer;
import org.apache.rocketmq.client.apis.consumer.OffsetOption;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.RecallReceipt;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionChecker;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;
import org.apache.rocketmq.client.java.exception.BadRequestException;
import org.apache.rocketmq.client.java.exception.NotFoundException;
import org.apache.rocketmq.client.java.message.MessageBuilderImpl;

/** The cases. Case NAME uses the topic PREFIX-NAME and the group of the same name. */
final class Cases {
  interface Case {
    void run() throws Exception;
  }

  /** The server's smallest lease. */
  private static final Duration SHORT = Duration.ofSeconds(10);
  /** Longer than the suite: a message seen twice under this lease is the server's fault. */
  private static final Duration LONG = Duration.ofMinutes(5);

  private final Clients clients;
  private final String prefix;
  private final int messages;

  Cases(Clients clients, String prefix, int messages) {
    this.clients = clients;
    this.prefix = prefix;
    this.messages = messages;
  }

  Map<String, Case> all() {
    Map<String, Case> all = new LinkedHashMap<>();
    all.put("hello", this::hello);
    all.put("round-trip", this::roundTrip);
    all.put("tags", this::tags);
    all.put("sql", this::sql);
    all.put("redelivery", this::redelivery);
    all.put("invisible", this::invisible);
    all.put("push", this::push);
    all.put("push-retry", this::pushRetry);
    all.put("dead-letter", this::deadLetter);
    all.put("errors", this::errors);
    all.put("fifo", this::fifo);
    all.put("delay", this::delay);
    all.put("priority", this::priority);
    all.put("transaction", this::transaction);
    all.put("lite", this::lite);
    all.put("restart", this::restart);
    return all;
  }

  /** One message there and back. */
  void hello() throws Exception {
    String name = prefix + "-hello";
    try (Producer producer = clients.producer();
        SimpleConsumer consumer = clients.simpleConsumer(name, name, "*")) {
      String id = send(producer, name, "", "hello");
      MessageView view = receiveOne(consumer, LONG, 20);
      Check.equal("message id", id, view.getMessageId().toString());
      Check.equal("body", "hello", text(view));
      Check.equal("delivery attempt", 1, view.getDeliveryAttempt());
      consumer.ack(view);
    }
  }

  /** Many messages of all sizes, each received intact and only once. */
  void roundTrip() throws Exception {
    String name = prefix + "-round-trip";
    Set<Integer> seen = ConcurrentHashMap.newKeySet();
    AtomicInteger next = new AtomicInteger();
    try (Producer producer = clients.producer();
        SimpleConsumer consumer = clients.simpleConsumer(name, name, "*")) {
      List<Case> work = new ArrayList<>();
      for (int n = 0; n < 4; n++) {
        work.add(
            () -> {
              for (int i; (i = next.getAndIncrement()) < messages; ) {
                producer.send(Sample.message(name, i));
              }
            });
        work.add(
            () -> {
              while (seen.size() < messages) {
                for (MessageView view : consumer.receive(32, LONG)) {
                  int i = Sample.check(view);
                  Check.that(seen.add(i), "message " + i + " came twice");
                  consumer.ack(view);
                }
              }
            });
      }
      atOnce(work);
      Check.equal("messages after the last", List.of(), consumer.receive(32, LONG));
    }
  }

  /** "a || b" lets through a and b; a tag of the same hash as another is still another tag. */
  void tags() throws Exception {
    String name = prefix + "-tags";
    Check.equal("hash of the colliding tags", "Aa".hashCode(), "BB".hashCode());
    try (Producer producer = clients.producer();
        SimpleConsumer either = clients.simpleConsumer(name, name, "a || b");
        SimpleConsumer colliding = clients.simpleConsumer(name, name + "-hash", "Aa")) {
      for (String tag : List.of("a", "Aa", "BB", "b", "c", "ab", "")) {
        send(producer, name, tag, "tag " + tag);
      }
      Check.equal("bodies of a || b", Set.of("tag a", "tag b"), drain(either, 2));
      Check.equal("bodies of Aa", Set.of("tag Aa"), drain(colliding, 1));
    }
  }

  /** A predicate over properties and the tag lets through what fulfils it. */
  void sql() throws Exception {
    String name = prefix + "-sql";
    FilterExpression filter =
        new FilterExpression(
            "price BETWEEN 10 AND 20 OR TAGS = 'vip'", FilterExpressionType.SQL92);
    try (Producer producer = clients.producer();
        SimpleConsumer consumer = clients.simpleConsumer(name, name, filter)) {
      for (String price : List.of("5", "15", "25")) {
        producer.send(
            new MessageBuilderImpl()
                .setTopic(name)
                .setBody(price.getBytes(UTF_8))
                .addProperty("price", price)
                .build());
      }
      send(producer, name, "vip", "no price");
      Check.equal("bodies of " + filter.getExpression(), Set.of("15", "no price"),
          drain(consumer, 2));
    }
  }

  /** A message that is not acknowledged comes again when its lease is over. */
  void redelivery() throws Exception {
    String name = prefix + "-redelivery";
    try (Producer producer = clients.producer();
        SimpleConsumer consumer = clients.simpleConsumer(name, name, "*")) {
      String id = send(producer, name, "", "again");
      MessageView first = receiveOne(consumer, SHORT, 20);
      long start = System.nanoTime();
      MessageView second = receiveOne(consumer, LONG, 30);
      Check.between("seconds until it came again", 9, 20, secondsSince(start));
      Check.equal("message id", id, second.getMessageId().toString());
      Check.equal("first attempt", 1, first.getDeliveryAttempt());
      Check.equal("second attempt", 2, second.getDeliveryAttempt());
      Check.throwing(
          BadRequestException.class,
          "acknowledging with the receipt of the first attempt",
          () -> {
            consumer.ack(first);
            return null;
          });
      consumer.ack(second);
      Check.equal("messages after the ack", List.of(), consumer.receive(1, SHORT));
    }
  }

  /** changeInvisibleDuration shortens and lengthens a lease. */
  void invisible() throws Exception {
    String name = prefix + "-invisible";
    try (Producer producer = clients.producer();
        SimpleConsumer consumer = clients.simpleConsumer(name, name, "*")) {
      send(producer, name, "", "lease");
      MessageView view = receiveOne(consumer, LONG, 20);
      consumer.changeInvisibleDuration(view, Duration.ofSeconds(3));
      long start = System.nanoTime();
      view = receiveOne(consumer, SHORT, 20);
      Check.between("seconds after shortening", 2, 15, secondsSince(start));
      Check.equal("delivery attempt", 2, view.getDeliveryAttempt());

      consumer.changeInvisibleDuration(view, Duration.ofSeconds(25));
      start = System.nanoTime();
      view = receiveOne(consumer, LONG, 40);
      Check.between("seconds after lengthening", 24, 35, secondsSince(start));
      Check.equal("delivery attempt", 3, view.getDeliveryAttempt());
      consumer.ack(view);
    }
  }

  /** A listener works on several messages at the same time and gets each once. */
  void push() throws Exception {
    String name = prefix + "-push";
    int count = 500;
    Map<String, Integer> seen = new ConcurrentHashMap<>();
    AtomicInteger active = new AtomicInteger();
    AtomicInteger peak = new AtomicInteger();
    try (Producer producer = clients.producer();
        PushConsumer consumer = clients.pushConsumer(
            name,
            name,
            view -> {
              peak.accumulateAndGet(active.incrementAndGet(), Math::max);
              sleep(20);
              active.decrementAndGet();
              seen.merge(text(view), 1, Integer::sum);
              return ConsumeResult.SUCCESS;
            })) {
      for (int i = 0; i < count; i++) send(producer, name, "", "push " + i);
      await(60, () -> seen.size() == count, () -> seen.size() + " of " + count + " arrived");
      sleep(2000);
      Check.that(peak.get() > 1, "the listener was never called concurrently");
      seen.forEach((body, times) -> Check.equal("deliveries of " + body, 1, times));
    }
  }

  /** What a listener refuses comes again, one attempt higher. */
  void pushRetry() throws Exception {
    String name = prefix + "-push-retry";
    BlockingQueue<Integer> attempts = new LinkedBlockingQueue<>();
    try (Producer producer = clients.producer();
        PushConsumer consumer = clients.pushConsumer(
            name,
            name,
            view -> {
              attempts.add(view.getDeliveryAttempt());
              return view.getDeliveryAttempt() < 3 ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
            })) {
      send(producer, name, "", "retry");
      for (int attempt = 1; attempt <= 3; attempt++) {
        Check.equal("delivery attempt", attempt, attempts.poll(60, TimeUnit.SECONDS));
      }
      Check.equal("attempts after success", null, attempts.poll(10, TimeUnit.SECONDS));
    }
  }

  /** The group allows 2 attempts: then the message lies in the group's dead letter topic. */
  void deadLetter() throws Exception {
    String name = prefix + "-dead-letter";
    AtomicInteger attempts = new AtomicInteger();
    try (Producer producer = clients.producer();
        PushConsumer consumer = clients.pushConsumer(
            name,
            name,
            view -> {
              attempts.incrementAndGet();
              return ConsumeResult.FAILURE;
            })) {
      MessageBuilder dead = new MessageBuilderImpl().setTopic(name).setBody("dead".getBytes(UTF_8));
      producer.send(dead.setTag("t").setKeys("k").addProperty("ключ", "значение").build());
      await(60, () -> attempts.get() == 2, () -> attempts + " attempts instead of 2");
      try (SimpleConsumer graveyard = deadLetterConsumer(name)) {
        MessageView view = receiveOne(graveyard, LONG, 60);
        Check.equal("body", "dead", text(view));
        Check.equal("tag", "t", view.getTag().orElse(null));
        Check.equal("keys", List.of("k"), List.copyOf(view.getKeys()));
        Check.equal("property", "значение", view.getProperties().get("ключ"));
        graveyard.ack(view);
      }
      Check.equal("attempts", 2, attempts.get());
    }
  }

  /**
   * Messages of one group are done in order, whatever fails: by a simple consumer of the ordered
   * group NAME-simple, and by a push consumer of the ordered group NAME.
   */
  void fifo() throws Exception {
    String name = prefix + "-fifo";
    int groups = 6;
    int count = 15;
    Order pushed = new Order(5);
    Order received = new Order(4);
    try (Producer producer = clients.producer();
        SimpleConsumer consumer = clients.simpleConsumer(name, name + "-simple", "*");
        PushConsumer push = clients.pushConsumer(
            name,
            name,
            view -> pushed.done(view) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE)) {
      for (int number = 0; number < count; number++) {
        for (int group = 0; group < groups; group++) {
          byte[] body = Integer.toString(number).getBytes(UTF_8);
          producer.send(
              new MessageBuilderImpl()
                  .setTopic(name)
                  .setMessageGroup("g" + group)
                  .setBody(body)
                  .build());
        }
      }
      while (received.count() < groups * count) {
        Set<String> skipped = new TreeSet<>(); // groups that wait for their first message
        for (MessageView view : consumer.receive(16, LONG)) {
          String group = view.getMessageGroup().orElseThrow();
          if (!skipped.contains(group) && received.done(view)) {
            consumer.ack(view);
          } else {
            skipped.add(group);
            consumer.changeInvisibleDuration(view, Duration.ofSeconds(1));
          }
        }
      }
      // This SDK does the messages of a receive one after the other, whatever their groups, and waits
      // 10 s after each of the 18 that fail.
      await(200, () -> pushed.count() == groups * count, () -> "push: " + pushed.count() + " done");
    }
    for (int group = 0; group < groups; group++) {
      received.check("simple", "g" + group, count);
      pushed.check("push", "g" + group, count);
    }
  }

  /** What was done of each message group. */
  private static final class Order {
    private final int every;
    private final Map<String, List<Integer>> bodies = new LinkedHashMap<>();
    private final Set<String> failed = new TreeSet<>();

    Order(int every) {
      this.every = every;
    }

    /** Fails for each `every`-th message of a group the first time it comes. */
    synchronized boolean done(MessageView view) {
      String group = view.getMessageGroup().orElseThrow();
      int number = Integer.parseInt(text(view));
      if (number % every == 2 && failed.add(group + " " + number)) return false;
      bodies.computeIfAbsent(group, unused -> new ArrayList<>()).add(number);
      return true;
    }

    synchronized int count() {
      return bodies.values().stream().mapToInt(List::size).sum();
    }

    synchronized void check(String who, String group, int count) {
      List<Integer> want = new ArrayList<>();
      for (int number = 0; number < count; number++) want.add(number);
      Check.equal(who + " of " + group, want, bodies.get(group));
    }
  }

  /** A delayed message comes when it is due; one that is recalled before never comes. */
  void delay() throws Exception {
    String name = prefix + "-delay";
    try (Producer producer = clients.producer();
        SimpleConsumer consumer = clients.simpleConsumer(name, name, "*")) {
      SendReceipt wrong = sendDelayed(producer, name, "wrong", Duration.ofSeconds(4));
      long start = System.nanoTime();
      SendReceipt sent = sendDelayed(producer, name, "right", Duration.ofSeconds(5));
      RecallReceipt recalled = producer.recallMessage(name, wrong.getRecallHandle());
      MessageView view = receiveOne(consumer, LONG, 20);
      Check.between("seconds until delivery", 4.9, 8, secondsSince(start));
      Check.equal("recalled id", wrong.getMessageId(), recalled.getMessageId());
      Check.equal("message id", sent.getMessageId(), view.getMessageId());
      Check.equal("body", "right", text(view));
      Check.that(view.getDeliveryTimestamp().isPresent(), "no delivery timestamp");
      Check.throwing(ClientException.class, "a recall that is late",
          () -> producer.recallMessage(name, sent.getRecallHandle()));
      Check.throwing(BadRequestException.class, "a delay of 25 hours",
          () -> sendDelayed(producer, name, "far", Duration.ofHours(25)));
      consumer.ack(view);
      Check.equal("messages after the last", 0, consumer.receive(32, LONG).size());
    }
  }

  /** What is most urgent comes first, and says how urgent it is. */
  void priority() throws Exception {
    String name = prefix + "-priority";
    try (Producer producer = clients.producer();
        SimpleConsumer consumer = clients.simpleConsumer(name, name, "*");
        SimpleConsumer probe = clients.simpleConsumer(name, name + "-probe", "*")) {
      for (int priority : new int[] {1, 3, 2}) {
        producer.send(new MessageBuilderImpl()
            .setTopic(name)
            .setBody(Integer.toString(priority).getBytes(UTF_8))
            .setPriority(priority)
            .build());
      }
      for (int i = 0; i < 3; i++) receiveOne(probe, LONG, 20);  // until all are there
      List<String> seen = new ArrayList<>();
      for (MessageView view : consumer.receive(32, LONG)) {
        seen.add(text(view) + view.getPriority().orElse(-1));
        consumer.ack(view);
      }
      Check.equal("bodies and priorities", List.of("33", "22", "11"), seen);
    }
  }

  /** What is committed is received, what is rolled back never; what is left open is asked about. */
  void transaction() throws Exception {
    String name = prefix + "-transaction";
    AtomicInteger asked = new AtomicInteger();
    TransactionChecker checker = view -> {
      asked.incrementAndGet();
      switch (text(view)) {
        case "checked, committed": return TransactionResolution.COMMIT;
        case "checked, rolled back": return TransactionResolution.ROLLBACK;
        default: return TransactionResolution.UNKNOWN;
      }
    };
    try (Producer producer = clients.producer(name, checker);
        SimpleConsumer consumer = clients.simpleConsumer(name, name, "*")) {
      Transaction committed = prepare(producer, name, "committed");
      Transaction rolledBack = prepare(producer, name, "rolled back");
      prepare(producer, name, "checked, committed");
      prepare(producer, name, "checked, rolled back");
      committed.commit();
      rolledBack.rollback();
      Check.throwing(IllegalArgumentException.class, "a message without a transaction",
          () -> producer.send(new MessageBuilderImpl()
              .setTopic(name).setBody("normal".getBytes(UTF_8)).build()));
      List<String> bodies = new ArrayList<>();
      while (bodies.size() < 2) {
        MessageView view = receiveOne(consumer, LONG, 60);
        bodies.add(text(view));
        consumer.ack(view);
      }
      Check.equal("received", List.of("committed", "checked, committed"), bodies);
      Check.equal("messages after the last", 0, consumer.receive(32, LONG).size());
      Check.that(asked.get() >= 2, "the server asked " + asked.get() + " times");
    }
  }

  private static Transaction prepare(Producer producer, String topic, String body)
      throws ClientException {
    Transaction transaction = producer.beginTransaction();
    producer.send(new MessageBuilderImpl()
        .setTopic(topic).setBody(body.getBytes(UTF_8)).build(), transaction);
    return transaction;
  }

  /**
   * A consumer gets the messages of the lightweight topics it subscribes to, each in its order; one
   * of the exclusive group NAME-one goes to the last that subscribed to it.
   */
  void lite() throws Exception {
    String name = prefix + "-lite";
    int count = 5;
    LiteOrder seen = new LiteOrder();
    LiteOrder lost = new LiteOrder();
    LiteOrder got = new LiteOrder();
    try (Producer producer = clients.producer();
        LitePushConsumer consumer = clients.litePushConsumer(name, name, seen::done)) {
      consumer.subscribeLite("a");
      consumer.subscribeLite("b");
      sendLite(producer, name, "c", "0");
      for (int number = 0; number < count; number++) {
        sendLite(producer, name, "a", Integer.toString(number));
        sendLite(producer, name, "b", Integer.toString(number));
      }
      seen.await(2 * count);
      Check.throwing(ClientException.class, "a name that is none", () -> {
        consumer.subscribeLite("a$b");
        return null;
      });
      consumer.unsubscribeLite("b");
      sendLite(producer, name, "b", "late");
      consumer.subscribeLite("c", OffsetOption.MIN_OFFSET);
      seen.await(2 * count + 1);
      try (LitePushConsumer first = clients.litePushConsumer(name, name + "-one", lost::done);
          LitePushConsumer second = clients.litePushConsumer(name, name + "-one", got::done)) {
        first.subscribeLite("one");
        second.subscribeLite("one");
        await(20, () -> first.getLiteTopicSet().isEmpty(), () -> "the first was not told");
        sendLite(producer, name, "one", "0");
        got.await(1);
      }
    }
    seen.check("a", count);
    seen.check("b", count);
    seen.check("c", 1);
    lost.check("one", 0);
    got.check("one", 1);
  }

  private static void sendLite(Producer producer, String topic, String liteTopic, String body)
      throws ClientException {
    producer.send(new MessageBuilderImpl()
        .setTopic(topic)
        .setLiteTopic(liteTopic)
        .setBody(body.getBytes(UTF_8))
        .build());
  }

  /** What was done of each lightweight topic; the second message of each fails once. */
  private static final class LiteOrder {
    private final Map<String, List<String>> bodies = new LinkedHashMap<>();
    private final Set<String> failed = new TreeSet<>();

    synchronized ConsumeResult done(MessageView view) {
      String liteTopic = view.getLiteTopic().orElseThrow();
      if (text(view).equals("1") && failed.add(liteTopic)) return ConsumeResult.FAILURE;
      bodies.computeIfAbsent(liteTopic, unused -> new ArrayList<>()).add(text(view));
      return ConsumeResult.SUCCESS;
    }

    private synchronized int count() {
      return bodies.values().stream().mapToInt(List::size).sum();
    }

    void await(int count) throws InterruptedException {
      Cases.await(60, () -> count() >= count, () -> count() + " of " + count + " lite messages");
    }

    synchronized void check(String liteTopic, int count) {
      List<String> want = new ArrayList<>();
      for (int number = 0; number < count; number++) want.add(Integer.toString(number));
      Check.equal("messages of " + liteTopic, want, bodies.getOrDefault(liteTopic, List.of()));
    }
  }

  /** Bad sends are refused with the exception an application would catch. */
  void errors() throws Exception {
    String name = prefix + "-errors";
    try (Producer producer = clients.producer()) {
      Check.throwing(NotFoundException.class, "unknown topic",
          () -> send(producer, prefix + "-absent", "", "x"));
      Check.throwing(IllegalArgumentException.class, "empty body",
          () -> send(producer, name, "", ""));
      Check.throwing(BadRequestException.class, "control character in a tag",
          () -> send(producer, name, "a\u0001b", "x"));
      MessageBuilder large = new MessageBuilderImpl().setTopic(name).setBody(new byte[(4 << 20) + 1]);
      Check.throwing(ClientException.class, "body over 4 MiB", () -> producer.send(large.build()));
      send(producer, name, "", "the producer still works");
    }
  }

  /**
   * The server is killed and started again under running clients. Asks for it on standard output
   * with the line "restart" and waits for any line on standard input. Every acknowledged message
   * must arrive at a push and at a simple consumer.
   */
  void restart() throws Exception {
    String name = prefix + "-restart";
    Set<Integer> sent = ConcurrentHashMap.newKeySet();
    Set<Integer> pushed = ConcurrentHashMap.newKeySet();
    Set<Integer> received = ConcurrentHashMap.newKeySet();
    AtomicBoolean sending = new AtomicBoolean(true);
    AtomicBoolean receiving = new AtomicBoolean(true);
    ExecutorService pool = Executors.newCachedThreadPool();
    try (Producer producer = clients.producer();
        SimpleConsumer simple = clients.simpleConsumer(name, name + "-simple", "*");
        PushConsumer push = clients.pushConsumer(
            name,
            name,
            view -> {
              pushed.add(Integer.valueOf(text(view)));
              return ConsumeResult.SUCCESS;
            })) {
      pool.execute(
          () -> {
            for (int i = 0; sending.get(); i++) {
              try {
                send(producer, name, "", Integer.toString(i));
                sent.add(i);
                sleep(10);
              } catch (ClientException | RuntimeException e) {
                sleep(500); // the server is away
              }
            }
          });
      pool.execute(
          () -> {
            while (receiving.get()) {
              try {
                for (MessageView view : simple.receive(32, SHORT)) {
                  received.add(Integer.valueOf(text(view)));
                  simple.ack(view);
                }
              } catch (ClientException | RuntimeException e) {
                sleep(500); // the server is away
              }
            }
          });
      await(30, () -> sent.size() > 100, () -> "only " + sent.size() + " sent before the restart");
      System.out.println("restart");
      Check.that(System.in.read() >= 0, "nobody restarted the server");
      int before = sent.size();
      await(60, () -> sent.size() > before + 100, () -> "no sends after the restart");
      sending.set(false);
      await(60, () -> pushed.containsAll(sent), () -> "push: lost " + missing(sent, pushed));
      await(60, () -> received.containsAll(sent), () -> "simple: lost " + missing(sent, received));
    } finally {
      sending.set(false);
      receiving.set(false);
      pool.shutdown();
    }
  }

  private static String missing(Set<Integer> expected, Set<Integer> actual) {
    Set<Integer> missing = new TreeSet<>(expected);
    missing.removeAll(actual);
    return missing.size() + " of " + expected.size() + ", first " + missing.iterator().next();
  }

  /** The dead letter topic comes into being with its first message. */
  private SimpleConsumer deadLetterConsumer(String group) throws Exception {
    for (long start = System.nanoTime(); ; sleep(1000)) {
      try {
        return clients.simpleConsumer("%DLQ%" + group, group + "-graveyard", "*");
      } catch (ClientException | RuntimeException e) {
        if (secondsSince(start) > 60) throw e;
      }
    }
  }

  private static String send(Producer producer, String topic, String tag, String body)
      throws ClientException {
    MessageBuilder builder = new MessageBuilderImpl().setTopic(topic).setBody(body.getBytes(UTF_8));
    if (!tag.isEmpty()) builder.setTag(tag);
    return producer.send(builder.build()).getMessageId().toString();
  }

  private static SendReceipt sendDelayed(
      Producer producer, String topic, String body, Duration delay) throws ClientException {
    return producer.send(new MessageBuilderImpl()
        .setTopic(topic)
        .setBody(body.getBytes(UTF_8))
        .setDeliveryTimestamp(System.currentTimeMillis() + delay.toMillis())
        .build());
  }

  private static MessageView receiveOne(SimpleConsumer consumer, Duration lease, int seconds)
      throws ClientException {
    for (long start = System.nanoTime(); secondsSince(start) < seconds; ) {
      List<MessageView> views = consumer.receive(1, lease);
      if (!views.isEmpty()) return views.get(0);
    }
    throw new AssertionError("no message within " + seconds + " s");
  }

  /** Receives and acknowledges until `count` came, and then what comes beyond. */
  private static Set<String> drain(SimpleConsumer consumer, int count) throws ClientException {
    Set<String> bodies = new TreeSet<>();
    for (int empty = 0; empty < (bodies.size() < count ? 4 : 1); ) {
      List<MessageView> views = consumer.receive(32, LONG);
      if (views.isEmpty()) empty++;
      for (MessageView view : views) {
        bodies.add(text(view));
        consumer.ack(view);
      }
    }
    return bodies;
  }

  private static String text(MessageView view) {
    return UTF_8.decode(view.getBody()).toString();
  }

  private static double secondsSince(long start) {
    return (System.nanoTime() - start) / 1e9;
  }

  private static void sleep(int milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void await(int seconds, BooleanSupplier condition, Supplier<String> why) {
    for (long start = System.nanoTime(); !condition.getAsBoolean(); sleep(50)) {
      if (secondsSince(start) > seconds) throw new AssertionError(why.get());
    }
  }

  private static void atOnce(List<Case> work) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(work.size());
    try {
      List<Future<?>> running = new ArrayList<>();
      for (Case body : work) {
        running.add(
            pool.submit(
                () -> {
                  body.run();
                  return null;
                }));
      }
      for (Future<?> one : running) one.get();
    } finally {
      pool.shutdownNow();
    }
  }
}
