// Has a listener called for every message of the topic hello, until it is interrupted.
import { ConsumeResult, PushConsumer } from 'rocketmq-client-nodejs';

const consumer = new PushConsumer({
  endpoints: process.argv[2] ?? '127.0.0.1:8081',
  consumerGroup: 'greeters-nodejs',
  subscriptions: new Map([['hello', '*']]),
  messageListener: {
    async consume(message) {
      console.log('received', message.body.toString());
      return ConsumeResult.SUCCESS; // FAILURE: deliver it again after a while
    },
  },
});
await consumer.startup();
process.once('SIGINT', () => consumer.shutdown());
