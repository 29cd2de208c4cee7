// The peer of the benchmark: the same work on Bull or BullMQ. It reads its options as one line of JSON from stdin and
// writes one line of JSON to stdout. It exits with 1 and the reason as soon as a job fails.
// Options: engine, command, redis, postgresql, schema, queue, concurrency, api, token, and those of the command. Times are seconds since 1970.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const Bull = require('bull');
const { Queue, Worker, createPostgresBackend, withBackend } = require('bullmq');
const CircuitBreaker = require('opossum');

const options = JSON.parse(fs.readFileSync(0, 'utf8'));
const CHUNK = 1000;
const url = new URL(options.redis);
const redis = { host: url.hostname, port: Number(url.port), db: Number(url.pathname.slice(1) || 0) };
const retry = { attempts: 3, backoff: { type: 'exponential', delay: 5000 } };
const now = () => (performance.timeOrigin + performance.now()) / 1000;

// -- the main API client, as in the seed: 10 kept-alive sockets behind a breaker

const agent = new http.Agent({ keepAlive: true, maxSockets: 10, maxFreeSockets: 5 });

function post(body, key) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    headers['x-api-key'] = options.token;
    if (key) headers['idempotency-key'] = key;
    const request = http.request(options.api, { method: 'POST', agent, headers, timeout: 10000 }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('error', reject);
      answer.on('end', () => {
        const found = JSON.parse(Buffer.concat(parts).toString());
        if (found.errors) reject(new Error(found.errors[0].message));
        else resolve(found.data);
      });
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', reject);
    request.end(body);
  });
}

const breaker = new CircuitBreaker(post, { timeout: 10000, errorThresholdPercentage: 50, resetTimeout: 30000 });
const ask = (query, variables, key) => breaker.fire(JSON.stringify({ query, variables }), key);

const READ = {
  Settlement: 'query settlement($id: ID!) { settlement(id: $id) { id kingdomId name level variables version archivedAt } }',
  Structure: 'query structure($id: ID!) { structure(id: $id) { id settlementId name type level variables version archivedAt } }',
};
const WRITE = {
  Settlement:
    'mutation updateSettlement($id: ID!, $input: UpdateSettlementInput!) { updateSettlement(id: $id, input: $input) { id version } }',
  Structure:
    'mutation updateStructure($id: ID!, $input: UpdateStructureInput!) { updateStructure(id: $id, input: $input) { id version } }',
};

// -- the handlers; each makes sure that its work was done

function some(entity, id) {
  if (!entity) throw new Error(`the main API does not know ${id}`);
  return entity;
}

const handlers = {
  noop: async () => null,
  call: async (data) => ({ version: some((await ask(READ.Settlement, { id: data.id })).settlement, data.id).version }),
  event: async (data, id) => {
    const found = some(Object.values(await ask(READ[data.entity], { id: data.id }))[0], data.id);
    const variables = { ...found.variables, [`applied-${data.event}`]: data.due };
    const input = { variables, branchId: data.branch, expectedVersion: found.version };
    const written = Object.values(await ask(WRITE[data.entity], { id: data.id, input }, id))[0];
    if (written.version <= found.version) throw new Error(`${data.id} was not written`);
    return { version: written.version };
  },
  expire: async (data, id) => {
    const found = await ask(
      'query getOverdueEvents($campaignId: ID!) { getOverdueEvents(campaignId: $campaignId) { id } }',
      { campaignId: data.campaignId },
    );
    const expire = 'mutation expireEvent($eventId: ID!) { expireEvent(eventId: $eventId) { id } }';
    const events = found.getOverdueEvents;
    for (let i = 0; i < events.length; i += 10) {
      const batch = events.slice(i, i + 10);
      const expired = await Promise.all(
        batch.map((event) => ask(expire, { eventId: event.id }, `${id}-${event.id}`)),
      );
      expired.forEach((found, n) => some(found.expireEvent, batch[n].id));
    }
    return { expired: events.length };
  },
};
const handle = async (job) => {
  if (job.data.kind === 'lag') return now(); // the handler's first line
  return handlers[job.data.kind](job.data, String(job.id));
};

// -- Bull and BullMQ behind one interface

function bullQueue() {
  const queue = new Bull(options.queue, { redis });
  return {
    ready: () => queue.isReady(),
    add: (data, opts) => queue.add(data, opts),
    addMany: (jobs) => queue.addBulk(jobs),
    work: (onEnd, onFailure) => {
      queue.on('completed', onEnd);
      queue.on('failed', onFailure);
      queue.process(options.concurrency, handle);
    },
    close: () => queue.close(true),
  };
}

function bullmqQueue(Queue, Worker, connection) {
  const queue = new Queue(options.queue, { connection });
  let worker;
  return {
    ready: () => queue.waitUntilReady(),
    add: (data, opts) => queue.add('job', data, opts),
    addMany: (jobs) => queue.addBulk(jobs.map((job) => ({ name: 'job', ...job }))),
    work: (onEnd, onFailure) => {
      worker = new Worker(options.queue, handle, { connection, concurrency: options.concurrency });
      worker.on('completed', onEnd);
      worker.on('failed', onFailure);
    },
    close: async () => {
      if (worker) await worker.close(true);
      await queue.close();
    },
  };
}

function bullmqOnPostgresql() {
  const { Queue, Worker } = withBackend(createPostgresBackend);
  const connection = { connectionString: options.postgresql, schema: options.schema, migrate: true };
  return bullmqQueue(Queue, Worker, connection);
}

const engines = {
  bull: bullQueue,
  bullmq: () => bullmqQueue(Queue, Worker, redis),
  'bullmq-postgresql': bullmqOnPostgresql,
};

// -- the commands

const kept = { removeOnComplete: 100, removeOnFail: 500, ...retry };

async function addAll(queue, jobs) {
  for (let i = 0; i < jobs.length; i += CHUNK) await queue.addMany(jobs.slice(i, i + CHUNK));
}

const commands = {
  // Adds `jobs` (each { data, dueAt? }), or `count` of `data`: in calls of CHUNK, or with `clients` one a call, so many
  // calls at a time.
  async submit(queue) {
    const wanted = options.jobs || Array.from({ length: options.count }, (_, n) => ({ data: { ...options.data, n } }));
    const jobs = wanted.map(({ data, dueAt }) => ({
      data,
      opts: dueAt ? { ...kept, delay: Math.max(0, Math.round(dueAt * 1000 - Date.now())) } : kept,
    }));
    const began = now();
    const cpu = process.cpuUsage();
    if (options.clients) {
      const left = jobs.values(); // shared: each client takes the next one
      const add = async () => {
        for (const job of left) await queue.add(job.data, job.opts);
      };
      await Promise.all(Array.from({ length: options.clients }, add));
    } else await addAll(queue, jobs);
    const { user, system } = process.cpuUsage(cpu);
    return { seconds: now() - began, cpu: (user + system) / 1e6 };
  },

  // Adds `count` delayed no-ops that are due between an hour and 30 days from now.
  async fill(queue) {
    const began = now();
    for (let done = 0; done < options.count; done += CHUNK) {
      const jobs = Array.from({ length: Math.min(CHUNK, options.count - done) }, (_, i) => ({
        data: { kind: 'noop', n: done + i },
        opts: { ...kept, delay: 3600000 + Math.floor(((done + i) / options.count) * 30 * 86400000) },
      }));
      await queue.addMany(jobs);
    }
    return { seconds: now() - began };
  },

  // Works until warmUp + count jobs have ended; reports when the last of the warm-up and the last of all ended.
  async work(queue) {
    const ends = [];
    const results = [];
    await new Promise((resolve, reject) => {
      const end = (job, result) => {
        ends.push(now());
        if (options.results) results.push({ n: job.data.n, result });
        if (ends.length === options.warmUp + options.count) resolve();
        if (options.announce && ends.length === options.warmUp) process.stdout.write('ready\n');
      };
      queue.work(end, (job, error) => reject(new Error(`job ${job && job.id} failed: ${error.message}`)));
    });
    const from = options.warmUp ? ends[options.warmUp - 1] : ends[0];
    return { from, to: ends[ends.length - 1], results };
  },
};

async function main() {
  const queue = engines[options.engine]();
  await queue.ready();
  const answer = await commands[options.command](queue);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
  await queue.close();
  process.exit(0);
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
