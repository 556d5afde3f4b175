// A queue of somebody else's, which pays invoices, behind HTTP. Reads what it needs (a line of JSON) from standard input,
// prints the port it listens on, answers `POST /pay/{invoice}/{user}` once the payment is made, and ends when standard
// input does. When anything fails it says so on standard error and exits with 1.

import { createServer } from "node:http";
import { createInterface } from "node:readline";

import { BullMq } from "./bullmq.js";
import { Debit } from "./debit.js";
import { GraphileWorker } from "./graphile_worker.js";
import { PgBoss } from "./pg_boss.js";

const PEERS = { "graphile-worker": GraphileWorker, "pg-boss": PgBoss, bullmq: BullMq };
/** More of them would only wait for each other. */
const CONNECTIONS_MAX = 32;

async function serve(name, lines) {
  const Peer = PEERS[name];
  if (Peer === undefined) throw new Error(`the peer is ${name}, not one of ${Object.keys(PEERS)}`);
  const { value: line } = await lines.next();
  const { database_url: databaseUrl, redis_url: redisUrl, debit: text, trace, callers } = JSON.parse(line);
  const debit = new Debit({ databaseUrl, text, trace, connections: Math.min(callers, CONNECTIONS_MAX), onBroken: fail });
  const work = (job) => debit.run(job);
  const connections = Math.min(2 * callers, CONNECTIONS_MAX);
  const peer = await Peer.start({ databaseUrl, redisUrl, callers, connections, work, onBroken: fail });
  const server = createServer(async (request, response) => {
    const [, , invoice, user] = request.url.split("/");
    try {
      await peer.pay({ invoice, user });
      answer(response, 200, { invoice_id: invoice, status: "paid" });
    } catch (error) {
      answer(response, 500, { error: told(error) });
    }
  });
  server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
  // Nothing more comes; this is the end.
  await lines.next();
  await new Promise((resolve) => server.close(resolve));
  await peer.stop();
  await debit.end();
}

function answer(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) }).end(text);
}

/** An error and what is behind it. */
function told(error) {
  const cause = error?.cause ? `: ${told(error.cause)}` : "";
  return `${error?.message ?? error}${cause}`;
}

function fail(error) {
  process.stderr.write(`error: ${told(error)}\n`, () => process.exit(1));
}

try {
  await serve(process.argv[2], createInterface({ input: process.stdin })[Symbol.asyncIterator]());
  process.exit(0);
} catch (error) {
  fail(error);
}
