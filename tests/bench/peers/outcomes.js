// Callers who wait for the outcome of a job, where a package only tells this process that some job has ended.

export class Outcomes {
  #waiting = new Map();

  /** Settles when the job of this invoice is told to have ended; to be called before it is enqueued. */
  of(invoice) {
    return new Promise((resolve, reject) => this.#waiting.set(invoice, { resolve, reject }));
  }

  /** The job has ended well. */
  succeeded(invoice) {
    this.#take(invoice)?.resolve();
  }

  /** The job has ended badly. */
  failed(invoice, error) {
    this.#take(invoice)?.reject(error);
  }

  #take(invoice) {
    const waiting = this.#waiting.get(invoice);
    this.#waiting.delete(invoice);
    return waiting;
  }
}
