// The judges have teeth: what is right passes, and each single thing that is wrong is refused.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import {
  AccountRole,
  appendTransactionMessageInstructions,
  compileTransaction,
  createTransactionMessage,
  generateKeyPairSigner,
  getBase64EncodedWireTransaction,
  pipe,
  setTransactionMessageComputeUnitLimit,
  setTransactionMessageComputeUnitPrice,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from "@solana/kit";
import { getTransferSolInstruction } from "@solana-program/system";
import {
  getCreateAssociatedTokenIdempotentInstructionAsync,
  getTransferCheckedInstruction,
} from "@solana-program/token";
import { judged } from "quittance-kit-judge/judge.js";

import { readBuilt } from "./built_transaction.js";
import { tokenAccount } from "./chain.js";
import { dueByInvoice } from "./due.js";
import { baseUnits, readTransferRequest } from "./transfer_request.js";

const BLOCKHASH = "9Zb9ZKvbNfUqk6Nq3vYyGtaR5wQxNZpkmbFZ4cqmSfVd";
const NOW = Date.parse("2030-01-01T00:00:00Z");
const UNTIL = "2030-01-01T00:00:45Z";

let payer, stranger, recipient, mint, reference, beacon;

before(async () => {
  const signers = await Promise.all(Array.from({ length: 6 }, generateKeyPairSigner));
  [payer, stranger] = signers;
  [recipient, mint, reference, beacon] = signers.slice(2).map((signer) => signer.address);
});

/** What is due in SOL. */
const inSol = () => ({ recipient, mint: null, decimals: 9, units: 1_000n, references: [reference, beacon] });
/** What is due in tokens. */
const inTokens = () => ({ ...inSol(), mint, decimals: 6 });

const sol = ({ source = payer, destination = recipient, amount = 1_000n } = {}) =>
  getTransferSolInstruction({ source, destination, amount });

const tokens = async ({ owner = payer, to = recipient, of = mint, decimals = 6, amount = 1_000n } = {}) =>
  getTransferCheckedInstruction({
    source: await tokenAccount(owner.address, of),
    mint: of,
    destination: await tokenAccount(to, of),
    authority: owner,
    amount,
    decimals,
  });

const creation = ({ owner = recipient, of = mint } = {}) =>
  getCreateAssociatedTokenIdempotentInstructionAsync({ payer, owner, mint: of });

/** The instruction, naming these keys, too. */
const naming = (instruction, keys = [reference, beacon], role = AccountRole.READONLY) => ({
  ...instruction,
  accounts: [...instruction.accounts, ...keys.map((address) => ({ address, role }))],
});

const message = (instructions, { version = "legacy", feePayer = payer, price = 10_000n, limit = 100_000 } = {}) =>
  pipe(
    createTransactionMessage({ version }),
    (message) => setTransactionMessageFeePayerSigner(feePayer, message),
    (message) =>
      setTransactionMessageLifetimeUsingBlockhash({ blockhash: BLOCKHASH, lastValidBlockHeight: 1n }, message),
    (message) => setTransactionMessageComputeUnitLimit(limit, message),
    (message) => setTransactionMessageComputeUnitPrice(price, message),
    (message) => appendTransactionMessageInstructions(instructions, message),
  );

const answer = (transaction, fields = {}) => ({
  transaction_b64: getBase64EncodedWireTransaction(transaction),
  blockhash: BLOCKHASH,
  blockhash_valid_until: UNTIL,
  ...fields,
});

const built = (instructions, options) => answer(compileTransaction(message(instructions, options)));
const read = (built, due) => readBuilt(built, due, payer.address, NOW);

test("what pays the invoice passes", async () => {
  const paid = await read(built([naming(sol())]), inSol());
  assert.deepEqual(Object.keys(paid.transaction.signatures), [payer.address]);
  assert.equal(paid.createsAccount, false);
  assert.equal((await read(built([naming(await tokens())]), inTokens())).createsAccount, false);
  const both = [await creation(), naming(await tokens())];
  assert.equal((await read(built(both), inTokens())).createsAccount, true);
});

test("a payment of something else is refused", async () => {
  const elsewhere = stranger.address;
  const cases = [
    [[naming(sol({ amount: 1_001n }))], inSol(), /the transfer is/],
    [[naming(sol({ destination: elsewhere }))], inSol(), /the route is/],
    [[naming(await tokens())], inSol(), /the program that pays/],
    [[sol()], inSol(), /names besides/],
    [[naming(sol(), [reference])], inSol(), /names besides/],
    [[naming(sol(), [beacon, reference])], inSol(), /names besides/],
    [[naming(sol(), [reference, beacon], AccountRole.WRITABLE)], inSol(), /names besides/],
    [[naming(sol()), sol()], inSol(), /a further instruction/],
    [[sol(), naming(sol())], inSol(), /a further instruction/],
    [[await creation(), naming(sol())], inSol(), /makes a token account/],
    [[], inSol(), /the program that pays/],
    [[naming(sol())], inTokens(), /the program that pays/],
    [[naming(await tokens({ amount: 999n }))], inTokens(), /the transfer is/],
    [[naming(await tokens({ decimals: 9 }))], inTokens(), /the transfer is/],
    [[naming(await tokens({ to: elsewhere }))], inTokens(), /the route is/],
    [[naming(await tokens({ of: elsewhere }))], inTokens(), /the route is/],
    [[await creation({ owner: elsewhere }), naming(await tokens())], inTokens(), /the account that is made/],
    [[await creation({ of: elsewhere }), naming(await tokens())], inTokens(), /the account that is made/],
  ];
  for (const [instructions, due, message] of cases) {
    await assert.rejects(read(built(instructions), due), { name: "Refusal", message });
  }
});

test("a transaction of another form is refused", async () => {
  const pay = [naming(sol())];
  const signed = answer(await signTransactionMessageWithSigners(message(pay)));
  const right = built(pay);
  const cases = [
    [built(pay, { version: 0 }), /the version is 0/],
    [built(pay, { feePayer: stranger }), /the number of signers is 2/],
    [built([naming(sol({ source: stranger }))]), /the number of signers is 2/],
    [built([naming(sol({ source: stranger }))], { feePayer: stranger }), /the signer is/],
    [built(pay, { price: 100_000_001n }), /the priority fee is 10000001/],
    [signed, /the signatures/],
    [{ ...right, blockhash: mint }, /the transaction's blockhash/],
    [{ ...right, blockhash_valid_until: "2029-12-31T23:59:59Z" }, /good for -1000 ms/],
    [{ ...right, blockhash_valid_until: "2030-01-01T00:02:31Z" }, /good for 151000 ms/],
    [{ ...right, blockhash_valid_until: "2030-01-01 00:00:45" }, /blockhash_valid_until is/],
    [{ ...right, transaction_b64: `${right.transaction_b64.slice(0, -4)}AAAAAAAA` }, /written again/],
    [{ ...right, transaction_b64: right.transaction_b64.slice(0, -8) }, /./],
  ];
  for (const [built, message] of cases) await assert.rejects(read(built, inSol()), { message });
});

test("an invoice that contradicts its payment URI is refused", async () => {
  const chain = { decimals: async () => 6 };
  const invoice = {
    address: { address: recipient, mint },
    reference_pubkey: reference,
    qr_uri: `solana:${recipient}?amount=0.001&spl-token=${mint}&reference=${reference}&reference=${beacon}`,
  };
  const { amount, ...due } = await dueByInvoice(invoice, chain);
  assert.deepEqual([amount, due], ["0.001", inTokens()]);
  const wrong = [
    { ...invoice, reference_pubkey: beacon },
    { ...invoice, address: { address: recipient } },
    { ...invoice, address: { address: beacon, mint } },
    { ...invoice, qr_uri: invoice.qr_uri.replace("amount=0.001", "amount=0.0010001") },
  ];
  for (const one of wrong) await assert.rejects(dueByInvoice(one, chain), { name: "Refusal" });
});

test("payment URIs are read as the reference library reads them, and no more lightly", () => {
  const base = () => `solana:${recipient}`;
  const right = [
    [`?amount=1`, { amount: "1", mint: null, references: [] }],
    [`?amount=0.000000001&reference=${beacon}&reference=${reference}`, { references: [beacon, reference] }],
    [`?reference=${reference}&spl-token=${mint}&label=A%20%26%20B&amount=49.00`, { amount: "49.00", mint }],
  ];
  for (const [query, fields] of right) {
    const request = readTransferRequest(base() + query);
    for (const [name, value] of Object.entries(fields)) assert.deepEqual(request[name], value, query);
    const { recipient, amount, mint, references } = judged(base() + query);
    assert.deepEqual({ recipient, amount, mint, references }, { ...request, amount: Number(request.amount) }, query);
  }
  const wrong = [
    "",
    "?amount=",
    "?amount=.5",
    "?amount=1.",
    "?amount=1e3",
    "?amount=-1",
    "?amount=1&amount=2",
    "?amount=1?amount=1",
    "?amount=1&memo=x",
    "?amount=1&reference=0",
    "?amount=1&spl-token=So1",
    `?amount=1&label=${"x".repeat(2048)}`,
  ];
  for (const query of wrong) assert.throws(() => readTransferRequest(base() + query), { name: "Refusal" }, query);
  assert.throws(() => readTransferRequest(`bitcoin:${recipient}?amount=1`), { name: "Refusal" });
  assert.throws(() => readTransferRequest("solana:nobody?amount=1"), { name: "Refusal" });
});

test("amounts are exact", () => {
  assert.equal(baseUnits("9223372036.854775807", 9), 9_223_372_036_854_775_807n);
  assert.equal(baseUnits("0.1", 6), 100_000n);
  assert.equal(baseUnits("49", 6), 49_000_000n);
  assert.throws(() => baseUnits("0.0000001", 6), { name: "Refusal" });
});
