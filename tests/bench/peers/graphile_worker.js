// graphile-worker: jobs are rows, new ones are announced with NOTIFY, and a handler's end is an event of this process.

import { EventEmitter } from "node:events";

import { Logger, run } from "graphile-worker";

import { Outcomes } from "./outcomes.js";

const TASK = "pay";
/** For announcements and for the end of jobs. */
const FURTHER_CONNECTIONS = 4;

export class GraphileWorker {
  #runner;
  #outcomes;

  constructor(runner, outcomes) {
    this.#runner = runner;
    this.#outcomes = outcomes;
  }

  static async start({ databaseUrl, callers, connections, work, onBroken }) {
    const outcomes = new Outcomes();
    const events = new EventEmitter();
    events.on("job:success", ({ job }) => outcomes.succeeded(job.payload.invoice));
    events.on("job:failed", ({ job, error }) => outcomes.failed(job.payload.invoice, error));
    for (const event of ["pool:fatalError", "worker:fatalError"]) events.on(event, ({ error }) => onBroken(error));
    const runner = await run({
      connectionString: databaseUrl,
      maxPoolSize: connections + FURTHER_CONNECTIONS,
      events,
      taskList: { [TASK]: work },
      parsedCronItems: [],
      noHandleSignals: true,
      logger: new Logger(() => () => {}),
      // Fetched and completed in batches: what its manual advises for throughput.
      preset: { worker: { concurrentJobs: callers, localQueue: { size: callers }, completeJobBatchDelay: 0 } },
    });
    runner.promise.catch(onBroken);
    return new GraphileWorker(runner, outcomes);
  }

  async pay(job) {
    const ended = this.#outcomes.of(job.invoice);
    await Promise.all([ended, this.#runner.addJob(TASK, job, { maxAttempts: 1 })]);
  }

  async stop() {
    await this.#runner.stop();
  }
}
