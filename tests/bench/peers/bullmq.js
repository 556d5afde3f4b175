// BullMQ: jobs are in Redis, and a job's end is an event of a stream there.

import { Queue, QueueEvents, Worker } from "bullmq";
import { Redis } from "ioredis";

const QUEUE = "pay";
const JOB_LIMIT_MS = 20_000;

export class BullMq {
  #queue;
  #events;
  #worker;
  #connections;

  constructor(queue, events, worker, connections) {
    this.#queue = queue;
    this.#events = events;
    this.#worker = worker;
    this.#connections = connections;
  }

  static async start({ redisUrl, callers, work, onBroken }) {
    const connect = () => new Redis(redisUrl, { maxRetriesPerRequest: null });
    const connections = [connect(), connect(), connect()];
    const queue = new Queue(QUEUE, { connection: connections[0] });
    const events = new QueueEvents(QUEUE, { connection: connections[1] });
    const worker = new Worker(QUEUE, ({ data }) => work(data), { connection: connections[2], concurrency: callers });
    for (const part of [queue, events, worker]) part.on("error", onBroken);
    // Each caller who waits listens for the queue's closing.
    queue.setMaxListeners(0);
    await Promise.all([queue, events, worker].map((part) => part.waitUntilReady()));
    return new BullMq(queue, events, worker, connections);
  }

  async pay(job) {
    const added = await this.#queue.add(QUEUE, job);
    await added.waitUntilFinished(this.#events, JOB_LIMIT_MS);
  }

  async stop() {
    await this.#worker.close();
    await this.#events.close();
    await this.#queue.obliterate({ force: true });
    await this.#queue.close();
    for (const connection of this.#connections) connection.disconnect();
  }
}
