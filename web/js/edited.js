// @ts-check
/** The text that is edited, and the prompts in it. */

import { noPrompts, parsePoints, PointsError, serialisePoints } from "./points.js";

/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Size} Size */

export class Edited {
  /** As it was last committed or set. */
  text = "";
  /** Why it cannot be edited, "" where it can. */
  unreadable = "";
  /** Without what a gesture in its middle has changed. @type {Prompts} */
  committed = noPrompts();
  /** Prompts in the middle of a gesture. @type {Prompts | null} */
  draft = null;
  /** The text and the size that `committed` is of. */
  #read = "";

  /** The prompts as they are on screen. */
  get prompts() {
    return this.draft ?? this.committed;
  }

  /** Reads the text for the image's size; false where that has been done before.
   * @param {Size | null} size */
  read(size) {
    const asked = JSON.stringify([this.text, size]);
    if (asked === this.#read) return false;
    this.draft = null;
    this.#read = asked;
    this.unreadable = "";
    this.committed = noPrompts();
    try {
      if (size) this.committed = parsePoints(this.text, size);
    } catch (error) {
      if (!(error instanceof PointsError)) throw error;
      this.unreadable = error.message;
    }
    return true;
  }

  /** Keeps prompts; true where that makes another text. @param {Prompts} prompts
   * @param {Size | null} size */
  keep(prompts, size) {
    this.draft = null;
    this.unreadable = "";
    this.committed = prompts;
    const text = size ? serialisePoints(prompts, size) : "";
    const isNew = text !== this.text;
    this.text = text;
    this.#read = JSON.stringify([text, size]);
    return isNew;
  }
}

/** The prompts of another text; null where it cannot be read.
 * @param {string} text @param {Size} size @returns {Prompts | null} */
export function promptsOf(text, size) {
  const edited = new Edited();
  edited.text = text;
  edited.read(size);
  return edited.unreadable ? null : edited.committed;
}
