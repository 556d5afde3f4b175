// pg-boss: jobs are rows, and new ones are announced with NOTIFY. Outside of tests it tells nobody that a job has ended,
// so the handler does, before pg-boss has noted it: in favour of pg-boss.

import { PgBoss as Boss } from "pg-boss";

import { Outcomes } from "./outcomes.js";

const QUEUE = "pay";
/** For announcements, for fetching and for the end of jobs. */
const FURTHER_CONNECTIONS = 4;
/** The least that it allows. */
const POLL_S = 0.5;

export class PgBoss {
  #boss;
  #outcomes;

  constructor(boss, outcomes) {
    this.#boss = boss;
    this.#outcomes = outcomes;
  }

  static async start({ databaseUrl, callers, connections, work, onBroken }) {
    const boss = new Boss({
      connectionString: databaseUrl,
      max: connections + FURTHER_CONNECTIONS,
      useListenNotify: true,
      // No maintenance in the middle of a round.
      supervise: false,
      schedule: false,
    });
    boss.on("error", onBroken);
    await boss.start();
    await boss.createQueue(QUEUE, { notify: true, retryLimit: 0 });
    const outcomes = new Outcomes();
    const handle = async ({ data }) => {
      try {
        await work(data);
        outcomes.succeeded(data.invoice);
      } catch (error) {
        outcomes.failed(data.invoice, error);
        throw error;
      }
    };
    const options = { batchSize: callers, pollingIntervalSeconds: POLL_S, notifyPollingIntervalSeconds: POLL_S };
    await boss.work(QUEUE, options, (jobs) => Promise.all(jobs.map(handle)));
    return new PgBoss(boss, outcomes);
  }

  async pay(job) {
    const ended = this.#outcomes.of(job.invoice);
    await Promise.all([ended, this.#boss.send(QUEUE, job)]);
  }

  async stop() {
    await this.#boss.stop();
  }
}
