// A customer's wallet. Reads one job (JSON) from standard input and prints one line of JSON; when anything is not as a
// wallet wants it, says so on standard error and exits with 1.

import { readFileSync } from "node:fs";

import { createKeyPairSignerFromBytes, getBase58Encoder } from "@solana/kit";

import { Chain } from "./chain.js";
import { Console } from "./console.js";
import { relayed, reported, scanned } from "./payments.js";
import { demand } from "./refusal.js";

const WAYS = { relayed, reported, scanned };

async function run(job) {
  const pay = WAYS[job.way];
  demand(pay !== undefined, `the way is ${job.way}, not one of ${Object.keys(WAYS)}`);
  return await pay({
    chain: new Chain({ rpcUrl: job.rpc_url, wsUrl: job.ws_url }),
    console: new Console({ apiUrl: job.api_url, session: job.session, csrf: job.csrf }),
    signer: await createKeyPairSignerFromBytes(getBase58Encoder().encode(job.secret)),
    invoiceId: job.invoice_id,
    uri: job.uri,
    version: job.version,
  });
}

/** An error and what is behind it. Some of kit's carry what a program has logged. */
function told(error) {
  const context = error?.context?.logs ? ` [${error.context.logs.join("; ")}]` : "";
  const cause = error?.cause ? `: ${told(error.cause)}` : "";
  return `${error?.message ?? error}${context}${cause}`;
}

try {
  const outcome = await run(JSON.parse(readFileSync(0, "utf8")));
  // Kit's sockets may still be open; nothing is left to be done on them.
  process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0));
} catch (error) {
  process.stderr.write(`error: ${told(error)}\n`, () => process.exit(1));
}
