// What a wallet looks at before its owner signs a transaction that somebody else has built.

import {
  AccountRole,
  decompileTransactionMessage,
  getBase64Decoder,
  getBase64Encoder,
  getCompiledTransactionMessageDecoder,
  getCompiledTransactionMessageEncoder,
  getTransactionDecoder,
  getTransactionEncoder,
  getTransactionLifetimeConstraintFromCompiledTransactionMessage,
  getTransactionMessageComputeUnitLimit,
  getTransactionMessageComputeUnitPrice,
} from "@solana/kit";
import {
  SYSTEM_PROGRAM_ADDRESS,
  TRANSFER_SOL_DISCRIMINATOR,
  parseTransferSolInstruction,
} from "@solana-program/system";
import {
  ASSOCIATED_TOKEN_PROGRAM_ADDRESS,
  CREATE_ASSOCIATED_TOKEN_IDEMPOTENT_DISCRIMINATOR,
  TOKEN_PROGRAM_ADDRESS,
  TRANSFER_CHECKED_DISCRIMINATOR,
  parseCreateAssociatedTokenIdempotentInstruction,
  parseTransferCheckedInstruction,
} from "@solana-program/token";

import { tokenAccount } from "./chain.js";
import { demand, demandSame } from "./refusal.js";

const COMPUTE_BUDGET_PROGRAM = "ComputeBudget111111111111111111111111111111";
const BYTES_MAX = 1232;
/** What the owner pays for speed without being asked, lamports. */
const PRIORITY_FEE_MAX = 10_000_000n;
const MICRO_LAMPORTS = 1_000_000n;
/** The longest that any blockhash is good for. */
const TRUST_MAX_MS = 150_000;

/**
 * The transaction in an answer of the API, if it pays what is due and does nothing else to the wallet.
 * Due are `recipient`, `mint` (null for SOL), `decimals`, `units` and `references`.
 */
export async function readBuilt(built, due, payer, now = Date.now()) {
  const { transaction, compiled } = decoded(built.transaction_b64);
  checkForm(transaction, compiled, payer);
  demandSame(compiled.lifetimeToken, built.blockhash, "the transaction's blockhash");
  checkTrust(built.blockhash_valid_until, now);

  const message = decompileTransactionMessage(compiled);
  checkFee(message);
  const payment = message.instructions.at(-1);
  demand(payment !== undefined, "the transaction has no instructions");
  for (const other of message.instructions.slice(0, -1)) await checkOther(other, due, payer);
  const accounts = due.mint === null ? checkSol(payment, due, payer) : await checkToken(payment, due, payer);
  checkReferences(payment.accounts.slice(accounts), due.references);
  const lifetimeConstraint = await getTransactionLifetimeConstraintFromCompiledTransactionMessage(compiled);
  return {
    transaction: { ...transaction, lifetimeConstraint },
    createsAccount: message.instructions.some(isCreation),
  };
}

function decoded(text) {
  const bytes = getBase64Encoder().encode(text);
  demand(bytes.length <= BYTES_MAX, `the transaction has ${bytes.length} bytes`);
  const transaction = getTransactionDecoder().decode(bytes);
  const compiled = getCompiledTransactionMessageDecoder().decode(transaction.messageBytes);
  // The decoders overlook what is behind the end.
  const messageBytes = getCompiledTransactionMessageEncoder().encode(compiled);
  const again = getBase64Decoder().decode(getTransactionEncoder().encode({ ...transaction, messageBytes }));
  demandSame(again, text, "the transaction, written again,");
  return { transaction, compiled };
}

function checkForm(transaction, compiled, payer) {
  demandSame(compiled.version, "legacy", "the version");
  demandSame(compiled.header.numSignerAccounts, 1, "the number of signers");
  demandSame(compiled.staticAccounts[0], payer, "the signer");
  demandSame(transaction.signatures, { [payer]: null }, "the signatures");
}

function checkTrust(validUntil, now) {
  demand(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(validUntil), `blockhash_valid_until is ${validUntil}`);
  const left = Date.parse(validUntil) - now;
  demand(left > 0 && left <= TRUST_MAX_MS, `the blockhash is said to be good for ${left} ms`);
}

function checkFee(message) {
  const limit = getTransactionMessageComputeUnitLimit(message);
  demand(limit !== undefined, "the transaction has no limit of compute units");
  const price = getTransactionMessageComputeUnitPrice(message) ?? 0n;
  // The chain rounds up.
  const fee = (BigInt(limit) * price + MICRO_LAMPORTS - 1n) / MICRO_LAMPORTS;
  demand(fee <= PRIORITY_FEE_MAX, `the priority fee is ${fee} lamports`);
}

/** Apart from the payment, a transaction may set its fee, and make the account to pay to. */
async function checkOther(instruction, due, payer) {
  if (instruction.programAddress === COMPUTE_BUDGET_PROGRAM) return;
  demandSame(instruction.programAddress, ASSOCIATED_TOKEN_PROGRAM_ADDRESS, "the program of a further instruction");
  demandSame([...instruction.data], [CREATE_ASSOCIATED_TOKEN_IDEMPOTENT_DISCRIMINATOR], "its data");
  demand(due.mint !== null, "a payment in SOL makes a token account");
  const { accounts } = parseCreateAssociatedTokenIdempotentInstruction(instruction);
  const made = [accounts.payer, accounts.ata, accounts.owner, accounts.mint].map((account) => account.address);
  const wanted = [payer, await tokenAccount(due.recipient, due.mint), due.recipient, due.mint];
  demandSame(made, wanted, "the account that is made");
}

function isCreation(instruction) {
  return instruction.programAddress === ASSOCIATED_TOKEN_PROGRAM_ADDRESS;
}

/** How many accounts a transfer of SOL needs. */
function checkSol(payment, due, payer) {
  demandSame(payment.programAddress, SYSTEM_PROGRAM_ADDRESS, "the program that pays");
  const { accounts, data } = parseTransferSolInstruction(payment);
  demandSame(data, { discriminator: TRANSFER_SOL_DISCRIMINATOR, amount: due.units }, "the transfer");
  demandSame([accounts.source.address, accounts.destination.address], [payer, due.recipient], "the route");
  return 2;
}

/** How many accounts a transfer of tokens needs. */
async function checkToken(payment, due, payer) {
  demandSame(payment.programAddress, TOKEN_PROGRAM_ADDRESS, "the program that pays");
  const { accounts, data } = parseTransferCheckedInstruction(payment);
  const wanted = { discriminator: TRANSFER_CHECKED_DISCRIMINATOR, amount: due.units, decimals: due.decimals };
  demandSame(data, wanted, "the transfer");
  const [source, destination] = [await tokenAccount(payer, due.mint), await tokenAccount(due.recipient, due.mint)];
  const route = [accounts.source, accounts.mint, accounts.destination, accounts.authority];
  demandSame(
    route.map((account) => account.address),
    [source, due.mint, destination, payer],
    "the route",
  );
  return 4;
}

function checkReferences(extra, references) {
  const wanted = references.map((address) => ({ address, role: AccountRole.READONLY }));
  const found = extra.map(({ address, role }) => ({ address, role }));
  demandSame(found, wanted, "what the transfer names besides its own accounts");
}
