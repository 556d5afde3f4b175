// The judge of payment URIs: the reference library of Solana Pay.

import { parseURL } from "@solana/pay";

/** What a wallet that uses the library would pay: the amount as it has it, a floating-point number. */
export function judged(uri) {
  const { recipient, amount, splToken = null, reference = [], memo = null } = parseURL(uri);
  return { recipient, amount, mint: splToken, references: reference, memo };
}
