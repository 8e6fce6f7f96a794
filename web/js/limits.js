// @ts-check
/** What a model takes of what can be drawn, and how to say what it does not take. Pure. */

import { objectNumbers } from "./edits.js";
import { say } from "./texts.js";

/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Drawn} Drawn */
/** @typedef {import("./types.d.ts").Limits} Limits */
/** @typedef {import("./types.d.ts").Point} Point */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Texts} Texts */

/** By their names in core/providers/contract.py. @type {Drawn[]} */
export const DRAWN = ["points", "negative_points", "boxes", "negative_boxes", "masks"];

/** Of a model that takes everything. @type {Limits} */
export const NO_LIMITS = { title: "", lacks: {}, wordsOnly: false, isCallEach: false, isExamples: false };

/** Of a node whose boxes are examples of what to find. @type {Limits} */
export const EXAMPLES = { ...NO_LIMITS, lacks: { points: [], negative_points: [], masks: [] }, isExamples: true };

/** @param {"point" | "box"} kind @param {boolean} positive @returns {Drawn} */
export function drawn(kind, positive) {
  const name = kind === "point" ? "points" : "boxes";
  return positive ? name : `negative_${name}`;
}

/** @param {Limits} limits @param {Drawn} one */
export function takes(limits, one) {
  return limits.lacks[one] === undefined;
}

/** Why something cannot be drawn. @param {Texts} texts @param {Limits} limits @param {Drawn} one */
export function refusal(texts, limits, one) {
  return sentences(texts, limits, [one], say(texts, `kind_${one}`), []);
}

/**
 * What is there already and would end a run; "" where there is nothing of the kind.
 * @param {Texts} texts @param {Limits} limits @param {Prompts} prompts
 */
export function leftOver(texts, limits, prompts) {
  const counts = countsOf(prompts);
  const kinds = DRAWN.filter((one) => counts[one] && !takes(limits, one));
  if (!kinds.length) return "";
  const names = kinds.map((one) => `${say(texts, `kind_${one}`)} (${counts[one]})`).join(", ");
  return sentences(texts, limits, kinds, names, [say(texts, "runRefused", names)]);
}

/** What a hand can do. @param {Texts} texts @param {Limits} limits */
export function hint(texts, limits) {
  if (limits.isExamples) return say(texts, "hintExample");
  const parts = [];
  if (takes(limits, "points")) parts.push(say(texts, "hintPoint"));
  if (takes(limits, "negative_points")) parts.push(say(texts, "hintNegative"));
  if (takes(limits, "boxes")) parts.push(say(texts, "hintBox"));
  if (parts.length) return parts.join(" ");
  return sentences(texts, limits, ["points"], say(texts, "kind_points"), []);
}

/** How many calls an image is where several objects are as many; "" where they are one.
 * @param {Texts} texts @param {Limits} limits @param {Prompts} prompts */
export function callsOf(texts, limits, prompts) {
  const count = objectNumbers(prompts).length;
  return limits.isCallEach && count > 1 ? say(texts, "calls", count) : "";
}

/**
 * @param {Texts} texts @param {Limits} limits @param {Drawn[]} kinds @param {string} names
 * @param {string[]} middle
 */
function sentences(texts, { title, lacks, wordsOnly }, kinds, names, middle) {
  const name = title || say(texts, "thisModel");
  const first = wordsOnly ? say(texts, "wordsOnly", name) : say(texts, "notTaken", name, names);
  const [own = [], ...further] = kinds.map((kind) => lacks[kind] ?? []);
  const others = own.filter((other) => further.every((list) => list.includes(other)));
  const last = others.length ? [say(texts, "choose", others.join(", "))] : [];
  return [first, ...middle, ...last].join(" ");
}

/** @param {Prompts} prompts @returns {Record<Drawn, number>} */
function countsOf({ points, boxes, masks }) {
  const counts = { points: 0, negative_points: 0, boxes: 0, negative_boxes: 0, masks: masks.length };
  for (const { positive } of points) counts[drawn("point", positive)] += 1;
  for (const { positive } of boxes) counts[drawn("box", positive)] += 1;
  return counts;
}
