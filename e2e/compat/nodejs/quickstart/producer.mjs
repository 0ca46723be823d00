// Sends one message to the topic hello.
import { Producer } from 'rocketmq-client-nodejs';

const endpoints = process.argv[2] ?? '127.0.0.1:8081';
const producer = new Producer({ endpoints, topics: ['hello'] });
await producer.startup();

const receipt = await producer.send({
  topic: 'hello',
  tag: 'greeting',
  keys: ['greeting-1'],
  body: Buffer.from('Hello from Node.js'),
});
console.log('sent', receipt.messageId);

await producer.shutdown();
