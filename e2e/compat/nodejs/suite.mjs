// The Node.js SDK against one server: every case prints "ok NAME" or "FAIL NAME: why".
//
// The cases run at the same time, since most of their time is waiting. Case NAME uses the topic
// PREFIX-NAME and the group of the same name. The exit status is 1 when a case failed.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  ConsumeResult, FilterExpression, LitePushConsumerImpl, Producer, PushConsumer, SimpleConsumer,
} from 'rocketmq-client-nodejs';
import * as sample from './sample.mjs';

const LIMIT_MS = 170_000;
const POLL_MS = 5_000;
const SHORT_MS = 10_000; // the server's smallest lease
// TransactionResolution of the contract, which the SDK does not export either.
const COMMIT = 1;
const ROLLBACK = 2;
const SQL = 2; // FilterType of the contract, which the SDK does not export
const LONG_MS = 300_000; // outlasts the suite: a message seen twice under it is the server's fault

const { values: options } = parseArgs({
  options: {
    endpoint: { type: 'string' },
    prefix: { type: 'string' },
    messages: { type: 'string', default: '10000' },
    tls: { type: 'string', default: 'off' }, // on: GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names the authority
    'access-key': { type: 'string' }, // name of the user who signs
    'secret-key': { type: 'string' },
    cases: { type: 'string' },
  },
});
const { prefix } = options;
const connection = { endpoints: options.endpoint, namespace: '', sslEnabled: options.tls === 'on' };
if (options['access-key']) {
  connection.sessionCredentials = {
    accessKey: options['access-key'], accessSecret: options['secret-key'],
  };
}

const cases = {
  // One message there and back.
  async 'hello'(name, using) {
    const producer = await using(newProducer(name));
    const consumer = await using(simpleConsumer(name, name));
    const id = await send(producer, name, 'hello');
    const view = await receiveOne(consumer, LONG_MS, 20);
    assert.equal(view.messageId, id);
    assert.equal(view.body.toString(), 'hello');
    assert.equal(view.deliveryAttempt, 1);
    await consumer.ack(view);
  },

  // Many messages of all sizes, each received intact and only once.
  async 'round-trip'(name, using) {
    const producer = await using(newProducer(name));
    const consumer = await using(simpleConsumer(name, name));
    const count = Number(options.messages);
    const seen = new Set();
    let next = 0;
    const produce = async () => {
      while (next < count) await producer.send(sample.message(name, next++));
    };
    const consume = async () => {
      while (seen.size < count) {
        const views = await consumer.receive(32, LONG_MS);
        await Promise.all(views.map(async view => {
          const i = sample.check(view);
          assert(!seen.has(i), `message ${i} came twice`);
          seen.add(i);
          await consumer.ack(view);
        }));
      }
    };
    await Promise.all([1, 2, 3, 4].flatMap(() => [produce(), consume()]));
    assert.deepEqual(await consumer.receive(32, LONG_MS), [], 'messages after the last');
  },

  // "a || b" lets through a and b; a tag of the same hash as another is still another tag.
  async 'tags'(name, using) {
    const producer = await using(newProducer(name));
    const either = await using(simpleConsumer(name, name, 'a || b'));
    const colliding = await using(simpleConsumer(name, `${name}-hash`, 'Aa'));
    for (const tag of ['a', 'Aa', 'BB', 'b', 'c', 'ab', undefined]) {
      await send(producer, name, `tag ${tag}`, { tag });
    }
    assert.deepEqual(await drain(either, 2), ['tag a', 'tag b']);
    assert.deepEqual(await drain(colliding, 1), ['tag Aa']);
  },

  // A predicate over properties and the tag lets through what fulfils it.
  async 'sql'(name, using) {
    const producer = await using(newProducer(name));
    const predicate = "price BETWEEN 10 AND 20 OR TAGS = 'vip'";
    const consumer = await using(simpleConsumer(name, name, new FilterExpression(predicate, SQL)));
    for (const price of ['5', '15', '25']) {
      await send(producer, name, price, { properties: new Map([['price', price]]) });
    }
    await send(producer, name, 'no price', { tag: 'vip' });
    assert.deepEqual(await drain(consumer, 2), ['15', 'no price']);
  },

  // A message that is not acknowledged comes again when its lease is over.
  async 'redelivery'(name, using) {
    const producer = await using(newProducer(name));
    const consumer = await using(simpleConsumer(name, name));
    const id = await send(producer, name, 'again');
    const first = await receiveOne(consumer, SHORT_MS, 20);
    const start = Date.now();
    const second = await receiveOne(consumer, LONG_MS, 30);
    expectSeconds('until it came again', 9, 20, start);
    assert.equal(second.messageId, id);
    assert.deepEqual([first.deliveryAttempt, second.deliveryAttempt], [1, 2]);
    await assert.rejects(consumer.ack(first), { name: 'BadRequestException' });
    await consumer.ack(second);
    assert.deepEqual(await consumer.receive(1, SHORT_MS), [], 'messages after the ack');
  },

  // changeInvisibleDuration shortens and lengthens a lease.
  async 'invisible'(name, using) {
    const producer = await using(newProducer(name));
    const consumer = await using(simpleConsumer(name, name));
    await send(producer, name, 'lease');
    let view = await receiveOne(consumer, LONG_MS, 20);
    await consumer.changeInvisibleDuration(view, 3_000);
    let start = Date.now();
    view = await receiveOne(consumer, SHORT_MS, 20);
    expectSeconds('after shortening', 2, 15, start);
    assert.equal(view.deliveryAttempt, 2);

    await consumer.changeInvisibleDuration(view, 25_000);
    start = Date.now();
    view = await receiveOne(consumer, LONG_MS, 40);
    expectSeconds('after lengthening', 24, 35, start);
    assert.equal(view.deliveryAttempt, 3);
    await consumer.ack(view);
  },

  // A listener works on several messages at the same time and gets each once.
  async 'push'(name, using) {
    const count = 500;
    const bodies = [];
    let active = 0;
    let peak = 0;
    const producer = await using(newProducer(name));
    await using(pushConsumer(name, async view => {
      peak = Math.max(peak, ++active);
      await sleep(20);
      active--;
      bodies.push(view.body.toString());
      return true;
    }));
    for (let i = 0; i < count; i++) await send(producer, name, `push ${i}`);
    const arrived = () => `${bodies.length} of ${count} arrived`;
    await until(60, () => new Set(bodies).size === count, arrived);
    await sleep(2_000);
    assert(peak > 1, 'the listener was never called concurrently');
    assert.equal(bodies.length, count, 'deliveries');
  },

  // What a listener refuses comes again, one attempt higher.
  async 'push-retry'(name, using) {
    const attempts = [];
    const producer = await using(newProducer(name));
    await using(pushConsumer(name, async view => attempts.push(view.deliveryAttempt) >= 3));
    await send(producer, name, 'retry');
    await until(90, () => attempts.length >= 3, () => `attempts: ${attempts}`);
    await sleep(10_000);
    assert.deepEqual(attempts, [1, 2, 3]);
  },

  // The group allows 2 attempts: then the message lies in the group's dead letter topic.
  async 'dead-letter'(name, using) {
    const attempts = [];
    const producer = await using(newProducer(name));
    await using(pushConsumer(name, async view => attempts.push(view.deliveryAttempt) < 0));
    const properties = new Map([['ключ', 'значение']]);
    await send(producer, name, 'dead', { tag: 't', keys: ['k'], properties });
    await until(60, () => attempts.length === 2, () => `attempts: ${attempts}`);

    const graveyard = await using(deadLetterConsumer(name));
    const view = await receiveOne(graveyard, LONG_MS, 60);
    assert.equal(view.body.toString(), 'dead');
    assert.equal(view.tag, 't');
    assert.deepEqual(view.keys, ['k']);
    assert.equal(view.properties.get('ключ'), 'значение');
    await graveyard.ack(view);
    assert.deepEqual(attempts, [1, 2]);
  },

  // Messages of one group are done in order, whatever fails: by a simple consumer of the ordered
  // group NAME-simple, and by a push consumer of the ordered group NAME.
  async 'fifo'(name, using) {
    const [groups, count] = [6, 15];
    const producer = await using(newProducer(name));
    const consumer = await using(simpleConsumer(name, `${name}-simple`));
    const [pushed, received] = [newOrder(5), newOrder(4)];
    await using(pushConsumer(name, async view => pushed.done(view)));
    for (let number = 0; number < count; number++) {
      for (let group = 0; group < groups; group++) {
        await send(producer, name, String(number), { messageGroup: `g${group}` });
      }
    }
    while (received.count < groups * count) {
      const skipped = new Set(); // groups of this batch that wait for their first message
      for (const view of await consumer.receive(16, LONG_MS)) {
        if (!skipped.has(view.messageGroup) && received.done(view)) {
          await consumer.ack(view);
        } else {
          skipped.add(view.messageGroup);
          await consumer.changeInvisibleDuration(view, 1_000);
        }
      }
    }
    await until(90, () => pushed.count === groups * count, () => `push: ${pushed.count} done`);
    const want = [...Array(count).keys()];
    for (let group = 0; group < groups; group++) {
      assert.deepEqual(received.bodies.get(`g${group}`), want, `simple, group ${group}`);
      assert.deepEqual(pushed.bodies.get(`g${group}`), want, `push, group ${group}`);
    }
  },

  // Bad sends are refused with the exception an application would catch.
  async 'errors'(name, using) {
    const producer = await using(newProducer(name));
    const refused = (exception, topic, body, more) =>
      assert.rejects(send(producer, topic, body, more), { name: exception }, exception);
    await refused('NotFoundException', `${prefix}-absent`, 'x');
    await refused('BadRequestException', name, 'x', { tag: 'a|b' });
    await refused('BadRequestException', name, 'x', { tag: 'a\u0001b' });
    await assert.rejects(send(producer, name, ''), 'an empty body');
    await assert.rejects(send(producer, name, 'x'.repeat((4 << 20) + 1)), 'a body over 4 MiB');
    await send(producer, name, 'the producer still works');
  },

  // A delayed message comes when it is due; one that is recalled before never comes.
  async 'delay'(name, using) {
    const producer = await using(newProducer(name));
    const consumer = await using(simpleConsumer(name, name));
    const delayed = (body, ms) => producer.send(
      { topic: name, body: Buffer.from(body), deliveryTimestamp: new Date(Date.now() + ms) });
    const wrong = await delayed('wrong', 4_000);
    const start = Date.now();
    const sent = await delayed('right', 5_000);
    await producer.recallMessage(name, wrong.recallHandle);
    const view = await receiveOne(consumer, LONG_MS, 20);
    expectSeconds('delivery', 4.9, 8, start);
    assert.equal(view.messageId, sent.messageId);
    assert.equal(view.body.toString(), 'right');
    await assert.rejects(producer.recallMessage(name, sent.recallHandle), 'a recall that is late');
    await assert.rejects(delayed('far', 25 * 3_600_000), 'a delay of 25 hours');
    await consumer.ack(view);
    assert.deepEqual(await drain(consumer, 0), []);
  },

  // What is most urgent comes first, and says how urgent it is.
  async 'priority'(name, using) {
    const producer = await using(newProducer(name));
    const consumer = await using(simpleConsumer(name, name));
    const probe = await using(simpleConsumer(name, `${name}-probe`));
    for (const priority of [1, 3, 2]) {
      await producer.send({ topic: name, body: Buffer.from(`${priority}`), priority });
    }
    for (let i = 0; i < 3; i++) await receiveOne(probe, LONG_MS, 20); // until all are there
    const seen = [];
    for (const view of await consumer.receive(32, LONG_MS)) {
      seen.push([view.body.toString(), view.priority]);
      await consumer.ack(view);
    }
    assert.deepEqual(seen, [['3', 3], ['2', 2], ['1', 1]]);
  },

  // What is committed is received, what is rolled back never; what is left open the server asks about.
  async 'transaction'(name, using) {
    let asked = 0;
    const checker = {
      async check(view) {
        asked++;
        const resolutions = { 'checked, committed': COMMIT, 'checked, rolled back': ROLLBACK };
        return resolutions[view.body.toString()] ?? null;
      },
    };
    const producer = await using(newProducer(name, checker));
    const consumer = await using(simpleConsumer(name, name));
    const prepare = async body => {
      const transaction = producer.beginTransaction();
      await producer.send({ topic: name, body: Buffer.from(body) }, transaction);
      return transaction;
    };
    const committed = await prepare('committed');
    const rolledBack = await prepare('rolled back');
    await prepare('checked, committed');
    await prepare('checked, rolled back');
    await committed.commit();
    await rolledBack.rollback();
    await assert.rejects(send(producer, name, 'normal'), 'a message without a transaction');
    const bodies = [];
    while (bodies.length < 2) {
      const view = await receiveOne(consumer, LONG_MS, 60);
      bodies.push(view.body.toString());
      await consumer.ack(view);
    }
    assert.deepEqual(bodies, ['committed', 'checked, committed']);
    assert.deepEqual(await drain(consumer, 0), []);
    assert(asked >= 2, `the server asked ${asked} times`);
  },

  // A consumer gets the messages of the lightweight topics it subscribes to, each in its order; one
  // of the exclusive group NAME-one goes to the last that subscribed to it.
  async 'lite'(name, using) {
    const count = 5;
    const producer = await using(newProducer(name));
    const sendLite = (liteTopic, body) => send(producer, name, body, { liteTopic });
    const [seen, lost, got] = [newLiteOrder(), newLiteOrder(), newLiteOrder()];
    const consumer = await using(litePushConsumer(name, name, seen));
    await consumer.subscribeLite('a');
    await consumer.subscribeLite('b');
    await sendLite('c', '0');
    for (let number = 0; number < count; number++) {
      await sendLite('a', String(number));
      await sendLite('b', String(number));
    }
    await until(60, () => seen.count >= 2 * count, () => `${seen.count} lite messages`);
    await assert.rejects(consumer.subscribeLite('a$b'), 'a name that is none');
    await consumer.unsubscribeLite('b');
    await sendLite('b', 'late');
    await consumer.subscribeLite('c');
    await until(60, () => seen.count > 2 * count, () => 'nothing of c');
    const first = await using(litePushConsumer(name, `${name}-one`, lost));
    const second = await using(litePushConsumer(name, `${name}-one`, got));
    await first.subscribeLite('one');
    await second.subscribeLite('one');
    await sendLite('one', '0');
    await until(60, () => got.count >= 1, () => 'nothing of one');
    const want = [...Array(count).keys()].map(String);
    assert.deepEqual(seen.bodies, { a: want, b: want, c: ['0'] });
    assert.deepEqual([lost.bodies, got.bodies], [{}, { one: ['0'] }]);
  },

  // The server is killed and started again under running clients. Asks for it on standard output
  // with the line "restart" and waits for a line on standard input. Every acknowledged message must
  // arrive at a push and at a simple consumer.
  async 'restart'(name, using) {
    const sent = new Set();
    const pushed = new Set();
    const received = new Set();
    const lost = got => [...sent].filter(body => !got.has(body)).length;
    const producer = await using(newProducer(name));
    const simple = await using(simpleConsumer(name, `${name}-simple`));
    await using(pushConsumer(name, async view => pushed.add(view.body.toString())));

    let sending = true;
    let receiving = true;
    const away = () => sleep(500); // calls fail while the server is away
    const produce = async () => {
      for (let i = 0; sending; i++) {
        const body = String(i);
        await send(producer, name, body).then(() => sent.add(body), away);
        await sleep(10);
      }
    };
    const consume = async () => {
      while (receiving) {
        await simple.receive(32, SHORT_MS).then(views => Promise.all(views.map(view => {
          received.add(view.body.toString());
          return simple.ack(view);
        }))).catch(away);
      }
    };
    const work = Promise.all([produce(), consume()]);
    try {
      await until(30, () => sent.size > 100, () => `only ${sent.size} sent before the restart`);
      console.log('restart');
      await once(process.stdin, 'data');
      const before = sent.size;
      await until(60, () => sent.size > before + 100, () => 'no sends after the restart');
      sending = false;
      await until(60, () => lost(pushed) === 0, () => `push: ${lost(pushed)} of ${sent.size} lost`);
      await until(60, () => lost(received) === 0,
        () => `simple: ${lost(received)} of ${sent.size} lost`);
    } finally {
      sending = receiving = false;
      await work;
    }
  },
};

// What was done of each message group; each `every`-th message fails the first time it comes.
function newOrder(every) {
  const failed = new Set();
  const order = { bodies: new Map(), count: 0 };
  order.done = view => {
    const number = Number(view.body.toString());
    const key = `${view.messageGroup} ${number}`;
    if (number % every === 2 && !failed.has(key)) {
      failed.add(key);
      return false;
    }
    order.bodies.set(view.messageGroup, [...order.bodies.get(view.messageGroup) ?? [], number]);
    order.count++;
    return true;
  };
  return order;
}

// What was done of each lightweight topic; the second message of each fails once.
function newLiteOrder() {
  const failed = new Set();
  const order = { bodies: {}, count: 0 };
  order.done = view => {
    const body = view.body.toString();
    if (body === '1' && !failed.has(view.liteTopic)) {
      failed.add(view.liteTopic);
      return false;
    }
    (order.bodies[view.liteTopic] ??= []).push(body);
    order.count++;
    return true;
  };
  return order;
}

async function litePushConsumer(topic, consumerGroup, order) {
  return started(new LitePushConsumerImpl({
    ...connection, consumerGroup, bindTopic: topic,
    messageListener: {
      consume: async view => order.done(view) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE,
    },
  }));
}

async function newProducer(topic, checker) {
  return started(new Producer({ ...connection, topics: [topic], checker }));
}

async function simpleConsumer(topic, consumerGroup, filter = '*') {
  return started(new SimpleConsumer({
    ...connection, consumerGroup, awaitDuration: POLL_MS,
    subscriptions: new Map([[topic, filter]]),
  }));
}

async function pushConsumer(name, succeeds) {
  return started(new PushConsumer({
    ...connection, consumerGroup: name,
    subscriptions: new Map([[name, '*']]),
    messageListener: {
      consume: async view => (await succeeds(view)) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE,
    },
  }));
}

// The dead letter topic comes into being with its first message.
async function deadLetterConsumer(group) {
  for (const start = Date.now(); ; await sleep(1_000)) {
    try {
      return await simpleConsumer(`%DLQ%${group}`, `${group}-graveyard`);
    } catch (error) {
      if (Date.now() - start > 60_000) throw error;
    }
  }
}

async function started(client) {
  await client.startup();
  return client;
}

async function send(producer, topic, body, more = {}) {
  return (await producer.send({ topic, body: Buffer.from(body), ...more })).messageId;
}

async function receiveOne(consumer, leaseMs, seconds) {
  for (const start = Date.now(); Date.now() - start < seconds * 1_000;) {
    const [view] = await consumer.receive(1, leaseMs);
    if (view) return view;
  }
  throw new Error(`no message within ${seconds} s`);
}

// Receives and acknowledges until `count` came, and then what comes beyond.
async function drain(consumer, count) {
  const bodies = [];
  for (let empty = 0; empty < (bodies.length < count ? 4 : 1);) {
    const views = await consumer.receive(32, LONG_MS);
    if (views.length === 0) empty++;
    for (const view of views) {
      bodies.push(view.body.toString());
      await consumer.ack(view);
    }
  }
  return bodies.sort();
}

async function until(seconds, holds, otherwise) {
  for (const start = Date.now(); !holds(); await sleep(50)) {
    assert(Date.now() - start < seconds * 1_000, otherwise());
  }
}

function expectSeconds(what, low, high, start) {
  const seconds = (Date.now() - start) / 1_000;
  const text = `${what}: expected ${low} to ${high} s, got ${seconds}`;
  assert(low <= seconds && seconds <= high, text);
}

// Runs one case and shuts down, last first, the clients it started with `using`.
async function run(name) {
  const clients = [];
  const using = async promise => clients[clients.push(await promise) - 1];
  try {
    assert(cases[name], 'there is no such case');
    await Promise.race([
      cases[name](`${prefix}-${name}`, using),
      sleep(LIMIT_MS).then(() => { throw new Error(`still running after ${LIMIT_MS / 1_000} s`); }),
    ]);
    console.log(`ok ${name}`);
    return true;
  } catch (error) {
    console.error(error);
    console.log(`FAIL ${name}: ${error}`.replaceAll('\n', ' '));
    return false;
  } finally {
    for (const client of clients.reverse()) client.shutdown().catch(console.error);
  }
}

const names = options.cases?.split(',') ?? Object.keys(cases);
const results = await Promise.all(names.map(run));
// The SDK keeps timers of its own; do not wait for them.
process.exit(results.every(Boolean) ? 0 : 1);
