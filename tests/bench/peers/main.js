// A queue of somebody else's, which pays invoices. Reads what to do (JSON) from standard input and prints one line of
// JSON; when anything fails or takes too long, says so on standard error and exits with 1.

import { readFileSync } from "node:fs";

import { BullMq } from "./bullmq.js";
import { call } from "./callers.js";
import { Debit } from "./debit.js";
import { GraphileWorker } from "./graphile_worker.js";
import { PgBoss } from "./pg_boss.js";

const PEERS = { "graphile-worker": GraphileWorker, "pg-boss": PgBoss, bullmq: BullMq };
/** For connections, prepared statements and compiled code: rounds of jobs before the clock is started. */
const WARM_UP_ROUNDS = 20;
const WARM_UP_MS = 1_000;
/** More of them would only wait for each other. */
const CONNECTIONS_MAX = 32;
/** Starting, warming up and stopping together take no longer. */
const SLACK_MS = 30_000;

async function measure(name, given) {
  const { database_url: databaseUrl, redis_url: redisUrl, debit: text, trace, callers, time_ms: timeMs, jobs } = given;
  const Peer = PEERS[name];
  if (Peer === undefined) throw new Error(`the peer is ${name}, not one of ${Object.keys(PEERS)}`);
  const broken = Promise.withResolvers();
  const onBroken = broken.reject;
  setTimeout(() => onBroken(new Error(`not done within ${timeMs + SLACK_MS} ms`)), timeMs + SLACK_MS);
  const run = async () => {
    const debit = new Debit({ databaseUrl, text, trace, connections: Math.min(callers, CONNECTIONS_MAX), onBroken });
    const work = (job) => debit.run(job);
    const connections = Math.min(2 * callers, CONNECTIONS_MAX);
    const peer = await Peer.start({ databaseUrl, redisUrl, callers, connections, work, onBroken });
    const pay = (job) => peer.pay(job);
    const warmUp = jobs.slice(0, callers * WARM_UP_ROUNDS);
    const { paid: warmed } = await call({ pay, jobs: warmUp, callers, timeMs: WARM_UP_MS });
    const measured = await call({ pay, jobs: jobs.slice(warmed), callers, timeMs });
    await peer.stop();
    await debit.end();
    return { warmed, ...measured };
  };
  return await Promise.race([run(), broken.promise]);
}

/** An error and what is behind it. */
function told(error) {
  const cause = error?.cause ? `: ${told(error.cause)}` : "";
  return `${error?.message ?? error}${cause}`;
}

try {
  const outcome = await measure(process.argv[2], JSON.parse(readFileSync(0, "utf8")));
  process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0));
} catch (error) {
  process.stderr.write(`error: ${told(error)}\n`, () => process.exit(1));
}
