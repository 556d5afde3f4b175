// The wallet's own way to the chain, through kit.

import {
  address,
  createSolanaRpc,
  createSolanaRpcSubscriptions,
  fetchEncodedAccount,
  getBase64EncodedWireTransaction,
  getSignatureFromTransaction,
  sendAndConfirmTransactionFactory,
} from "@solana/kit";
import { TOKEN_PROGRAM_ADDRESS, fetchMint, findAssociatedTokenPda } from "@solana-program/token";

import { demandSame } from "./refusal.js";

const COMMITMENT = "confirmed";
const SOL_DECIMALS = 9;
const LANDING_LIMIT_MS = 90_000;

export class Chain {
  #rpc;
  #sendAndConfirm;

  constructor({ rpcUrl, wsUrl }) {
    this.#rpc = createSolanaRpc(rpcUrl);
    const rpcSubscriptions = createSolanaRpcSubscriptions(wsUrl);
    this.#sendAndConfirm = sendAndConfirmTransactionFactory({ rpc: this.#rpc, rpcSubscriptions });
  }

  async latestBlockhash() {
    const { value } = await this.#rpc.getLatestBlockhash({ commitment: COMMITMENT }).send();
    return value;
  }

  /** How many digits of an amount are behind the point. */
  async decimals(mint) {
    if (mint === null) return SOL_DECIMALS;
    const { data, programAddress } = await fetchMint(this.#rpc, address(mint), { commitment: COMMITMENT });
    demandSame(programAddress, TOKEN_PROGRAM_ADDRESS, `the owner of the mint ${mint}`);
    return data.decimals;
  }

  async exists(account) {
    const found = await fetchEncodedAccount(this.#rpc, account, { commitment: COMMITMENT });
    return found.exists;
  }

  /** Refuses a transaction that the chain would refuse. */
  async simulate(transaction) {
    const wire = getBase64EncodedWireTransaction(transaction);
    const config = { commitment: COMMITMENT, encoding: "base64", sigVerify: false };
    const { value } = await this.#rpc.simulateTransaction(wire, config).send();
    demandSame({ err: value.err }, { err: null }, `the outcome of the simulation (${value.logs?.join("; ")})`);
  }

  /** Sends a signed transaction and waits until the chain has it; its signature. */
  async send(transaction) {
    const abortSignal = AbortSignal.timeout(LANDING_LIMIT_MS);
    await this.#sendAndConfirm(transaction, { commitment: COMMITMENT, abortSignal });
    return getSignatureFromTransaction(transaction);
  }

  /** Sends a signed transaction and does not wait; its signature. */
  async sendOnly(transaction) {
    const wire = getBase64EncodedWireTransaction(transaction);
    const config = { encoding: "base64", preflightCommitment: COMMITMENT };
    return await this.#rpc.sendTransaction(wire, config).send();
  }
}

/** The account in which the owner's wallet keeps a token. */
export async function tokenAccount(owner, mint) {
  const seeds = { owner: address(owner), mint: address(mint), tokenProgram: TOKEN_PROGRAM_ADDRESS };
  const [account] = await findAssociatedTokenPda(seeds);
  return account;
}
