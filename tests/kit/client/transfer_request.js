// Reads the URI of a Solana Pay transfer request as its specification says, down to the last digit of the amount. Label
// and message are for showing only; a memo would have to be paid with, so it is refused.

import { isAddress } from "@solana/kit";

import { demand } from "./refusal.js";

const SCHEME = "solana:";
const LENGTH_MAX = 2048;
const AMOUNT = /^(\d+)(?:\.(\d+))?$/;

/**
 * The recipient (a wallet), the amount (text, in units that users see), the mint (null for SOL), and the keys to name,
 * in their order.
 */
export function readTransferRequest(uri) {
  demand(uri.length <= LENGTH_MAX, `the URI has ${uri.length} characters`);
  demand(uri.startsWith(SCHEME), `the URI does not begin with ${SCHEME}`);
  const [recipient, query = "", ...rest] = uri.slice(SCHEME.length).split("?");
  demand(rest.length === 0, "the URI has two queries");
  const fields = fieldsOf(query);
  const single = (name) => {
    const values = fields.get(name) ?? [];
    demand(values.length <= 1, `the URI has ${values.length} fields ${name}`);
    return values[0] ?? null;
  };
  const amount = single("amount");
  demand(amount !== null && AMOUNT.test(amount), `the amount is ${amount}`);
  demand(single("memo") === null, "the URI wants a memo, which this wallet does not write");
  const mint = single("spl-token");
  return {
    recipient: key(recipient, "recipient"),
    amount,
    mint: mint === null ? null : key(mint, "spl-token"),
    references: (fields.get("reference") ?? []).map((reference) => key(reference, "reference")),
  };
}

/** The amount in the token's smallest units. */
export function baseUnits(amount, decimals) {
  const [, whole, fraction = ""] = AMOUNT.exec(amount);
  demand(fraction.length <= decimals, `the amount ${amount} has more than ${decimals} decimals`);
  return BigInt(whole + fraction.padEnd(decimals, "0"));
}

function fieldsOf(query) {
  const fields = new Map();
  for (const pair of query.split("&").filter((pair) => pair !== "")) {
    const at = pair.indexOf("=");
    demand(at > 0, `the URI has a field without a value: ${pair}`);
    const [name, value] = [pair.slice(0, at), pair.slice(at + 1)].map(decodeURIComponent);
    fields.set(name, [...(fields.get(name) ?? []), value]);
  }
  return fields;
}

function key(text, what) {
  demand(isAddress(text), `the ${what} is no key: ${text}`);
  return text;
}
