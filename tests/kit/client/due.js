// What an invoice asks for, as its page says it.

import { judged } from "quittance-kit-judge/judge.js";

import { demandSame } from "./refusal.js";
import { baseUnits, readTransferRequest } from "./transfer_request.js";

/** What the payment URI asks for, the amount in base units. The reference library must read the same. */
export async function dueByUri(uri, chain) {
  const request = readTransferRequest(uri);
  const judgment = { ...request, amount: Number(request.amount), memo: null };
  const { recipient, amount, mint, references, memo } = judgment;
  demandSame(judged(uri), { recipient, amount, mint, references, memo }, "what @solana/pay reads in the URI");
  const decimals = await chain.decimals(request.mint);
  return { ...request, decimals, units: baseUnits(request.amount, decimals) };
}

/** What the invoice asks for. Its payment URI must agree with what else it shows. */
export async function dueByInvoice(invoice, chain) {
  const due = await dueByUri(invoice.qr_uri, chain);
  demandSame(due.recipient, invoice.address.address, "the URI's recipient");
  demandSame(due.mint, invoice.address.mint ?? null, "the URI's mint");
  demandSame(due.references[0], invoice.reference_pubkey, "the URI's first reference");
  return due;
}
