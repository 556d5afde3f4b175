// What a worker does for one job: the very debit that Quittance's worker makes.

import pg from "pg";

const PAID = "paid";

export class Debit {
  #pool;
  #text;
  #trace;

  constructor({ databaseUrl, text, trace, connections, onBroken }) {
    this.#pool = new pg.Pool({ connectionString: databaseUrl, max: connections, idleTimeoutMillis: 0 });
    this.#pool.on("error", onBroken);
    this.#text = text;
    this.#trace = trace;
  }

  /** Pays the invoice from the user's balance. */
  async run({ invoice, user }) {
    const query = { name: "debit", text: this.#text, values: [invoice, user, this.#trace], rowMode: "array" };
    const { rows } = await this.#pool.query(query);
    const [outcome] = rows[0];
    if (outcome !== PAID) throw new Error(`the debit of ${invoice} answered ${outcome}`);
  }

  async end() {
    await this.#pool.end();
  }
}
