'use strict';
// Official Node.js client (rocketmq-client-nodejs): send, receive (simple) and push. See ../README.md.
const { parseArgs } = require('node:util');
const { setTimeout: sleep } = require('node:timers/promises');
const { ConsumeResult, Producer, PushConsumer, SimpleConsumer } = require('rocketmq-client-nodejs');
const spec = require('./spec');

const RECEIVERS = 4;
const AWAIT_MS = 5000;
const INVISIBLE_MS = 15000;
const SEND_RETRY_MS = 60000;

const emit = line => process.stdout.write(JSON.stringify(line) + '\n');
const note = text =>
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} node: ${text}\n`);
const log = process.env.CLIENT_LOG ? note : () => {};
const logger = { info: log, debug: log, warn: log, error: log };

/** Runs action until it succeeds; {result, tries}. Throws the last error after giveUpMs. */
async function retry(what, action, giveUpMs) {
  const end = Date.now() + giveUpMs;
  for (let tries = 1; ; tries++) {
    try {
      return { result: await action(), tries };
    } catch (error) {
      note(`${what} failed, try ${tries}: ${error}`);
      if (Date.now() > end) throw error;
      await sleep(500);
    }
  }
}

/** A client that failed to start cannot be started again: each try makes a new one. */
async function started(make, giveUpMs) {
  const start = async () => {
    const client = make();
    await client.startup();
    return client;
  };
  return (await retry('startup', start, giveUpMs)).result;
}

async function send(args, options) {
  const producer = await started(() => new Producer({ ...options, topics: [ args.topic ] }), SEND_RETRY_MS);
  const begin = Date.now();
  for (let i = 0; i < args.count; i++) {
    if (args.rate) await sleep(Math.max(0, begin + 1000 * i / args.rate - Date.now()));
    const message = {
      topic: args.topic,
      tag: spec.tag(i),
      keys: spec.keys(args.prefix, i),
      properties: new Map(Object.entries(spec.properties(args.prefix, i))),
      body: spec.body(args.prefix, i),
    };
    const clock = performance.now();
    const { result, tries } = await retry(`send ${i}`, () => producer.send(message), SEND_RETRY_MS);
    const ms = Number((performance.now() - clock).toFixed(3));
    emit({ i, id: result.messageId, ms, tries });
  }
  note(`sent ${args.count} in ${(Date.now() - begin) / 1000} s`);
  return { complete: true, client: producer };
}

/** Checks and prints every delivery, and knows when the expected ones were seen. */
class Tally {
  constructor(args) {
    Object.assign(this, { expect: args.expect, quietMs: 1000 * args.quiet });
    this.seen = new Set();
    this.last = Date.now();
    this.end = this.last + 1000 * args.timeout;
  }

  delivered(view) {
    const properties = Object.fromEntries(view.properties);
    const prefix = properties.prefix ?? '';
    const i = Number(properties.index ?? -1);
    const expected = spec.properties(prefix, i);
    const names = Object.keys(properties);
    const wrong = Object.entries({
      tag: view.tag === spec.tag(i),
      keys: [ ...view.keys ].sort().join() === spec.keys(prefix, i).sort().join(),
      properties: names.length === 3 && names.every(name => properties[name] === expected[name]),
      body: view.body.equals(spec.body(prefix, i)),
      digest: !view.corrupted,
    }).filter(([ , same ]) => !same).map(([ name ]) => name);
    emit({ i, prefix, id: view.messageId, attempt: view.deliveryAttempt, ok: wrong.length === 0,
      wrong, offset: view.offset });
    this.seen.add(`${prefix}/${i}`);
    this.last = Date.now();
  }

  complete() {
    return this.seen.size >= this.expect;
  }

  over() {
    const now = Date.now();
    return now > this.end || (this.complete() && now > this.last + this.quietMs);
  }

  async wait() {
    while (!this.over()) await sleep(50);
    note(`saw ${this.seen.size} of ${this.expect}`);
    return this.complete();
  }
}

async function receive(args, options) {
  const tally = new Tally(args);
  const consumer = await started(() => new SimpleConsumer({
    ...options,
    consumerGroup: args.group,
    subscriptions: new Map([[ args.topic, '*' ]]),
    awaitDuration: AWAIT_MS,
  }), 1000 * args.timeout);
  const loop = async () => {
    while (!tally.over()) {
      try {
        for (const view of await consumer.receive(32, INVISIBLE_MS)) {
          tally.delivered(view);
          await consumer.ack(view);
        }
      } catch (error) {
        note(`receive: ${error}`);
        await sleep(500);
      }
    }
  };
  for (let k = 0; k < RECEIVERS; k++) loop();
  return { complete: await tally.wait(), client: consumer };
}

async function push(args, options) {
  const tally = new Tally(args);
  const consume = view => {
    tally.delivered(view);
    return ConsumeResult.SUCCESS;
  };
  const consumer = await started(() => new PushConsumer({
    ...options,
    consumerGroup: args.group,
    subscriptions: new Map([[ args.topic, '*' ]]),
    messageListener: { consume },
  }), 1000 * args.timeout);
  return { complete: await tally.wait(), client: consumer };
}

async function main() {
  const text = value => ({ type: 'string', default: value });
  const { values: args, positionals: [ mode ] } = parseArgs({
    allowPositionals: true,
    options: {
      endpoint: text(), topic: text(), group: text(''), prefix: text(''), count: text('0'),
      rate: text('0'), expect: text('0'), timeout: text('60'), quiet: text('2'),
      tls: { type: 'boolean', default: false },
    },
  });
  for (const name of [ 'count', 'rate', 'expect', 'timeout', 'quiet' ]) args[name] = Number(args[name]);
  // The client refuses an undefined namespace.
  const options = { endpoints: args.endpoint, namespace: '', sslEnabled: args.tls, logger };
  const { complete, client } = await { send, receive, push }[mode](args, options);
  // Say good-bye to the server, but do not wait for its long polls to end.
  await Promise.race([ client.shutdown().catch(error => note(`shutdown: ${error}`)), sleep(3000) ]);
  process.stdout.write('', () => process.exit(complete ? 0 : 1));
}

main().catch(error => {
  note(error.stack);
  process.exit(1);
});
