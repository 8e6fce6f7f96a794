// @ts-check
/** The lines below the image: what can be done, what was done, what is wrong. Read out as they change. */

import { callsOf, hint, leftOver } from "./limits.js";
import { isNothing } from "./points.js";
import { say } from "./texts.js";

/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Point} Point */
/** @typedef {import("./types.d.ts").Texts} Texts */

/**
 * @typedef {object} StatusState
 * @property {import("./types.d.ts").Prompts} prompts all there are
 * @property {import("./types.d.ts").Prompts} shown those on the frame that is shown
 * @property {import("./types.d.ts").Source | null} source null where there is no image
 * @property {string} unreadable why the text cannot be edited, "" where it can
 * @property {boolean} isLinked
 * @property {boolean} isLive
 * @property {import("./types.d.ts").Progress | null} progress of a run that brings the mask
 * @property {import("./types.d.ts").Limits} limits
 */

export class Status {
  /** What the last answer or action says, until the next edit. */
  #notice = "";
  /** Whether that says that something cannot be done. */
  #isRefusal = false;

  /** @param {Texts} texts */
  constructor(texts) {
    this.texts = texts;
    this.root = document.createElement("div");
    this.line = addLine(this.root, "sa-status");
    this.limits = addLine(this.root, "sa-limits sa-warning");
  }

  get notice() {
    return this.#notice;
  }

  /** To be said from the next update on. @param {string} message @param {boolean} [isRefusal] */
  note(message, isRefusal = false) {
    this.#notice = message;
    this.#isRefusal = isRefusal;
  }

  /** @param {StatusState} state */
  update(state) {
    const { prompts, source, limits, unreadable } = state;
    setLine(this.line, statusLine(this.texts, state, this.#notice));
    this.line.classList.toggle("sa-warning", Boolean(unreadable) || this.#isRefusal);
    setLine(this.limits, source ? leftOver(this.texts, limits, prompts) : "");
  }
}

/** @param {HTMLElement} root @param {string} className */
function addLine(root, className) {
  const line = document.createElement("div");
  line.className = className;
  line.setAttribute("aria-live", "polite");
  root.append(line);
  return line;
}

/** @param {HTMLElement} line @param {string} text */
function setLine(line, text) {
  // The same line again would be read out again.
  if (line.textContent !== text) line.textContent = text;
  line.title = text;
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

/** What the answer to a request for a preview says. @param {Texts} texts
 * @param {import("./types.d.ts").PreviewAnswer} answer */
export function describeAnswer(texts, answer) {
  if (answer.kind === "mask") return describePreview(texts, answer);
  if (answer.kind === "refused") return answer.message;
  return answer.kind === "missing" ? say(texts, "noPreview") : "";
}

/** Whether there are prompts on the image, and no mask of them can be shown before a run.
 * @param {StatusState} state */
export function awaitsRun({ shown, source, isLive }) {
  return !isNothing(shown) && isLive && source !== null && !source.key && !source.hasRun;
}

/** @param {Texts} texts @param {StatusState} state @param {string} notice */
function statusLine(texts, state, notice) {
  const { source, unreadable, isLinked, progress } = state;
  if (!source) return "";
  if (unreadable) return say(texts, "unreadable", unreadable);
  if (isLinked) return say(texts, "linked");
  // What has to be done for a mask stays, whatever else is said.
  if (progress) return joined([say(texts, "encoding"), progress.title, notice]);
  if (awaitsRun(state)) return joined([say(texts, "needsRun"), notice]);
  return notice || standing(texts, state, source);
}

/** What there is to be said while nothing happens. @param {Texts} texts @param {StatusState} state
 * @param {import("./types.d.ts").Source} source */
function standing(texts, { prompts, shown, isLive, limits }, source) {
  if (!source.isExact) return say(texts, "sourceOnly");
  if (isNothing(shown)) return hint(texts, limits);
  const { points, boxes, masks } = shown;
  const counts = [];
  if (points.length) counts.push(say(texts, "points", points.length));
  if (boxes.length) counts.push(say(texts, "boxes", boxes.length));
  if (masks.length) counts.push(say(texts, "masks", masks.length));
  const calls = callsOf(texts, limits, prompts);
  if (calls) counts.push(calls);
  const line = counts.join(", ");
  if (!isLive || !source.key) return `${line}. ${say(texts, "withRun")}`;
  return source.rough ? `${line}. ${say(texts, "rough", source.rough)}` : line;
}

/** @param {string[]} parts of a line, of which some may be empty */
function joined(parts) {
  return parts.filter(Boolean).join(" ");
}
