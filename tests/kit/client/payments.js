// The three ways in which a wallet pays an invoice.

import {
  AccountRole,
  address,
  appendTransactionMessageInstructions,
  assertIsTransactionWithBlockhashLifetime,
  assertIsTransactionWithinSizeLimit,
  createTransactionMessage,
  getBase64EncodedWireTransaction,
  getSignatureFromTransaction,
  pipe,
  setTransactionMessageComputeUnitLimit,
  setTransactionMessageComputeUnitPrice,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  setTransactionMessageLoadedAccountsDataSizeLimit,
  setTransactionMessagePriorityFeeLamports,
  signTransactionMessageWithSigners,
  signTransactionWithSigners,
} from "@solana/kit";
import { getTransferSolInstruction } from "@solana-program/system";
import {
  getCreateAssociatedTokenIdempotentInstructionAsync,
  getTransferCheckedInstruction,
} from "@solana-program/token";

import { readBuilt } from "./built_transaction.js";
import { tokenAccount } from "./chain.js";
import { dueByInvoice, dueByUri } from "./due.js";
import { demandSame } from "./refusal.js";

const UNIT_LIMIT = 200_000;
const UNIT_PRICE_MICRO_LAMPORTS = 5_000n;
const PRIORITY_FEE_LAMPORTS = 1_000n;
const LOADED_BYTES_MAX = 1_000_000;

/** Signs what the API has built, and lets the API send it. */
export async function relayed({ chain, console, signer, invoiceId }) {
  const { transaction, createsAccount } = await signedBuilt({ chain, console, signer, invoiceId });
  const signature = getSignatureFromTransaction(transaction);
  const answer = await console.submit(invoiceId, { signed_b64: getBase64EncodedWireTransaction(transaction) });
  demandSame(answer, { signature, submitted: true }, "the answer to the submission");
  return { signature, creates_account: createsAccount };
}

/** Signs what the API has built, sends it, and tells the API its signature. */
export async function reported({ chain, console, signer, invoiceId }) {
  const { transaction, createsAccount } = await signedBuilt({ chain, console, signer, invoiceId });
  const signature = await chain.sendOnly(transaction);
  demandSame(signature, getSignatureFromTransaction(transaction), "the signature that the node tells");
  const { status = "pending", already_processed: processed = false, ...answer } = await console.submit(invoiceId, {
    signature,
  });
  demandSame(answer, { signature, submitted: false }, "the answer to the submission");
  // The watcher may have been faster than the report.
  demandSame(status, processed ? "paid" : "pending", "the status in the answer");
  return { signature, creates_account: createsAccount };
}

/** Pays by the payment URI alone, without a word to the API. */
export async function scanned({ chain, signer, uri, version }) {
  const due = await dueByUri(uri, chain);
  const { instructions, createsAccount } = await transfer(due, signer, chain);
  const blockhash = await chain.latestBlockhash();
  const message = pipe(
    createTransactionMessage({ version }),
    (message) => setTransactionMessageFeePayerSigner(signer, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(blockhash, message),
    (message) => setTransactionMessageComputeUnitLimit(UNIT_LIMIT, message),
    version === 1 ? withTotals : withPrice,
    (message) => appendTransactionMessageInstructions(instructions, message),
  );
  const transaction = await signTransactionMessageWithSigners(message);
  assertIsTransactionWithinSizeLimit(transaction);
  await chain.simulate(transaction);
  return { signature: await chain.send(transaction), creates_account: createsAccount };
}

const withPrice = (message) => setTransactionMessageComputeUnitPrice(UNIT_PRICE_MICRO_LAMPORTS, message);

/** Version 1 carries the whole fee instead of a price, and may load no accounts unless it says how much. */
const withTotals = (message) =>
  pipe(
    message,
    (message) => setTransactionMessagePriorityFeeLamports(PRIORITY_FEE_LAMPORTS, message),
    (message) => setTransactionMessageLoadedAccountsDataSizeLimit(LOADED_BYTES_MAX, message),
  );

/** What the API has built for the invoice, looked at, tried out, and signed. */
async function signedBuilt({ chain, console, signer, invoiceId }) {
  const due = await dueByInvoice(await console.invoice(invoiceId), chain);
  const built = await console.build(invoiceId, signer.address);
  const { transaction, createsAccount } = await readBuilt(built, due, signer.address);
  await chain.simulate(transaction);
  const signed = await signTransactionWithSigners([signer], transaction);
  assertIsTransactionWithBlockhashLifetime(signed);
  assertIsTransactionWithinSizeLimit(signed);
  return { transaction: signed, createsAccount };
}

/** The transfer that a payment URI asks for, with the keys to name behind its own accounts. */
async function transfer(due, signer, chain) {
  const payment =
    due.mint === null
      ? { instructions: [solTransfer(due, signer)], createsAccount: false }
      : await tokenTransfer(due, signer, chain);
  const named = due.references.map((reference) => ({ address: address(reference), role: AccountRole.READONLY }));
  const last = payment.instructions.at(-1);
  const tagged = { ...last, accounts: [...last.accounts, ...named] };
  return { ...payment, instructions: [...payment.instructions.slice(0, -1), tagged] };
}

function solTransfer(due, signer) {
  return getTransferSolInstruction({ source: signer, destination: address(due.recipient), amount: due.units });
}

async function tokenTransfer(due, signer, chain) {
  const mint = address(due.mint);
  const destination = await tokenAccount(due.recipient, mint);
  const createsAccount = !(await chain.exists(destination));
  const creation = { payer: signer, owner: address(due.recipient), mint };
  const made = createsAccount ? [await getCreateAssociatedTokenIdempotentInstructionAsync(creation)] : [];
  const payment = getTransferCheckedInstruction({
    source: await tokenAccount(signer.address, mint),
    mint,
    destination,
    authority: signer,
    amount: due.units,
    decimals: due.decimals,
  });
  return { instructions: [...made, payment], createsAccount };
}
