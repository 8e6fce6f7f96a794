// @ts-check
/**
 * Asks for masks while prompts are edited: one request at a time, always for the latest prompts.
 *
 * A first edit is sent at once; while an answer is awaited only the newest edit is remembered, so
 * that a drag neither floods the server nor waits for the hand to rest.
 */

/** @typedef {import("./types.d.ts").PreviewQuery} PreviewQuery */
/** @typedef {import("./types.d.ts").PreviewAnswer} PreviewAnswer */

/** An answer that takes longer than this gives way to a newer question. */
const PATIENCE = 2000;

export class LivePreview {
  /** @type {PreviewQuery | null} */
  #next = null;
  /** @type {AbortController | null} */
  #flight = null;
  #departed = 0;

  /**
   * @param {(query: PreviewQuery, signal: AbortSignal) => Promise<PreviewAnswer>} send
   * @param {(query: PreviewQuery, answer: PreviewAnswer) => void} show only for what is not stale
   */
  constructor(send, show) {
    this.send = send;
    this.show = show;
  }

  /** @param {PreviewQuery} query */
  request(query) {
    this.#next = query;
    if (!this.#flight) this.#depart();
    else if (performance.now() - this.#departed > PATIENCE) this.#flight.abort();
  }

  /** Forget what was asked: the image, the model or the prompts are others now. */
  stop() {
    this.#next = null;
    this.#flight?.abort();
  }

  async #depart() {
    while (this.#next) {
      const query = this.#next;
      const flight = new AbortController();
      this.#next = null;
      this.#flight = flight;
      this.#departed = performance.now();
      /** @type {PreviewAnswer} */
      let answer = { kind: "failed" };
      try {
        answer = await this.send(query, flight.signal);
      } catch {
        // Aborted, or the server is away: the next edit asks again.
      }
      if (!flight.signal.aborted) this.show(query, answer);
    }
    this.#flight = null;
  }
}
