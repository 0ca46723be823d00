// Asks once for up to 16 messages of the topic hello and acknowledges each.
import { SimpleConsumer } from 'rocketmq-client-nodejs';

const consumer = new SimpleConsumer({
  endpoints: process.argv[2] ?? '127.0.0.1:8081',
  consumerGroup: 'greeters-nodejs',
  subscriptions: new Map([['hello', '*']]),
  awaitDuration: 20_000, // how long an empty queue is waited for
});
await consumer.startup();

// What is not acknowledged within 30 seconds is delivered again.
for (const message of await consumer.receive(16, 30_000)) {
  console.log('received', message.body.toString());
  await consumer.ack(message);
}

await consumer.shutdown();
