// The billing console's API, as the page in the customer's browser calls it.

import { demandSame } from "./refusal.js";

const ANSWER_LIMIT_MS = 60_000;

export class Console {
  #url;
  #headers;

  constructor({ apiUrl, session, csrf }) {
    this.#url = apiUrl;
    this.#headers = { cookie: `nl_session=${session}; nl_csrf=${csrf}`, "x-csrf-token": csrf };
  }

  /** The invoice with how to pay it. */
  async invoice(id) {
    return await this.#call("GET", `/v1/billing/invoices/${id}`);
  }

  /** A transaction that pays the invoice, unsigned. */
  async build(id, payer) {
    return await this.#call("POST", `/v1/billing/invoices/${id}/inapp/build`, { payer });
  }

  /** Hands over `{signed_b64}` or `{signature}`. */
  async submit(id, body) {
    return await this.#call("POST", `/v1/billing/invoices/${id}/inapp/submit`, body);
  }

  async #call(method, path, body) {
    const answer = await fetch(this.#url + path, {
      method,
      headers: body === undefined ? this.#headers : { ...this.#headers, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    const text = await answer.text();
    demandSame(answer.status, 200, `the status of ${method} ${path} (${text})`);
    return JSON.parse(text);
  }
}
