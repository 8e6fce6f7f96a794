// @ts-check
/** The line below the image: what can be done, what was done, what is wrong. Read out as it changes. */

import { say } from "./texts.js";

/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Point} Point */
/** @typedef {import("./types.d.ts").Texts} Texts */

/**
 * @typedef {object} StatusState
 * @property {import("./types.d.ts").Prompts} prompts
 * @property {import("./types.d.ts").Source | null} source null where there is no image
 * @property {string} unreadable why the text cannot be edited, "" where it can
 * @property {boolean} isLinked
 * @property {boolean} isLive
 * @property {string} notice what the last answer or action says
 */

export class Status {
  /** @param {Texts} texts */
  constructor(texts) {
    this.texts = texts;
    this.root = document.createElement("div");
    this.root.className = "sa-status";
    this.root.setAttribute("aria-live", "polite");
  }

  /** @param {StatusState} state */
  update(state) {
    const line = statusLine(this.texts, state);
    // The same line again would be read out again.
    if (this.root.textContent !== line) this.root.textContent = line;
    this.root.title = line;
    this.root.classList.toggle("sa-warning", Boolean(state.unreadable));
  }
}

/** A point or a box in words. @param {Texts} texts @param {Point | Box} item */
export function describe(texts, item) {
  const sign = say(texts, item.positive ? "onObject" : "offObject");
  const isPoint = "x" in item;
  const at = (isPoint ? [item.x, item.y] : [item.x1, item.y1, item.x2, item.y2]).map(Math.floor);
  return say(texts, isPoint ? "point" : "box", ...at, sign);
}

/**
 * What is to be said of a preview: nothing where it shows a mask of every object.
 * @param {Texts} texts @param {{ found: number, tried: number, asked: number }} preview
 */
export function describePreview(texts, { found, tried, asked }) {
  if (tried < asked) return say(texts, "stoppedEarly", tried, asked);
  if (!found) return say(texts, "nothingFound");
  return found < asked ? say(texts, "foundSome", found, asked) : "";
}

/** @param {Texts} texts @param {StatusState} state */
function statusLine(texts, { prompts: { points, boxes }, source, unreadable, isLinked, isLive, notice }) {
  if (!source) return "";
  if (unreadable) return say(texts, "unreadable", unreadable);
  if (isLinked) return say(texts, "linked");
  if (notice) return notice;
  if (!source.isExact) return say(texts, "sourceOnly");
  if (!points.length && !boxes.length) return say(texts, "hint");
  if (isLive && !source.key) return say(texts, "needsRun");
  const counts = [];
  if (points.length) counts.push(say(texts, "points", points.length));
  if (boxes.length) counts.push(say(texts, "boxes", boxes.length));
  return counts.join(", ");
}
