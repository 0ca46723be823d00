// Message number i of the round trip, and the check that it came back as it was sent.
//
// Everything but the random body follows from i, so a receiver can tell what it should have got.
// The body's SHA-256 travels in a property.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';

// gRPC for Node.js receives at most 4 MiB in one message, and this SDK does not raise that: the
// body and everything around it must fit.
const LARGEST_BODY_BYTES = (4 << 20) - (64 << 10);
const MOST_PROPERTIES = 128;
const TAGS = ['plain', 'étiquette', '标签'];

export function message(topic, i) {
  const body = randomBytes(bodyBytes(i));
  const tag = TAGS[i % TAGS.length];
  return { topic, body, tag, keys: keys(i), properties: properties(i, sha256(body)) };
}

// Returns which message this is; throws when any part of it is not what was sent.
export function check(view) {
  const i = Number(view.properties.get('index'));
  assert.equal(view.body.length, bodyBytes(i), `body size of ${i}`);
  assert.deepEqual(view.properties, properties(i, sha256(view.body)));
  assert.equal(view.tag, TAGS[i % TAGS.length]);
  assert.deepEqual(view.keys, keys(i));
  return i;
}

// Mostly small, with a tail: 1 in 10 is some KiB, 1 in 100 over 128 KiB, 1 in 1000 the largest.
function bodyBytes(i) {
  if (i % 1000 === 500) return LARGEST_BODY_BYTES;
  if (i % 100 === 50) return (128 << 10) + i;
  if (i % 10 === 5) return 4096 + (i % 4096);
  return 1 + ((i * 7919) % 1024);
}

function keys(i) {
  return [`order-${i}`, `订单-${i}`, `part-${i % 10}`];
}

function properties(i, digest) {
  const result = new Map([
    ['index', String(i)],
    ['sha256', digest],
    ['text', `Grüße, 消息 🐦 ${i}`],
    ['ключ', 'значение'],
  ]);
  if (i % 500 === 7) {
    for (let n = result.size; n < MOST_PROPERTIES; n++) result.set(`extra-${n}`, `value-${i}-${n}`);
  }
  return result;
}

function sha256(body) {
  return createHash('sha256').update(body).digest('hex');
}
