// @ts-check
/** Which frame of a clip is edited, and which prompts are on it. */

import { atFrame, isOn, isSameOn, itemsOn, keyFrames, onFrame, positionOf } from "./clips.js";
import { Frames } from "./frames.js";

/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Point} Point */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Source} Source */

export class ClipView {
  /** @type {Source[]} */
  #sources = [];
  /** That is asked for; the stage shows it when its picture has come. */
  #wanted = 0;
  #isOnly = false;

  /**
   * @param {import("./types.d.ts").Texts} texts @param {import("./stage.js").Stage} stage
   * @param {import("./types.d.ts").Unframed} unframed what prompts without a frame are on
   * @param {() => void} onChange another frame is asked for, or another kind of prompts
   */
  constructor(texts, stage, unframed, onChange) {
    this.stage = stage;
    this.unframed = unframed;
    this.onChange = onChange;
    this.row = new Frames(texts, {
      show: (frame) => this.show(frame),
      step: (by) => this.step(by),
      only: (isOnly) => this.#setOnly(isOnly),
    });
  }

  get #clip() {
    return this.stage.source?.clip ?? null;
  }

  /** That is shown. */
  get frame() {
    return this.stage.source?.frame ?? 0;
  }

  /** That new prompts are on, null for every frame. */
  get promptFrame() {
    return this.unframed === "first" || (this.#isOnly && this.#clip) ? this.frame : null;
  }

  get state() {
    return { frame: this.#wanted, isOnly: this.#isOnly };
  }

  /** @param {{ frame: number, isOnly: boolean }} state */
  restore({ frame, isOnly }) {
    this.#wanted = frame;
    this.#isOnly = isOnly;
  }

  /** @param {Source[]} sources */
  setSources(sources) {
    this.#sources = sources;
    this.stage.setSources(sources.map((source) => atFrame(source, this.#wanted)));
  }

  /** @param {number} frame */
  show(frame) {
    this.#wanted = frame;
    this.setSources(this.#sources);
    this.onChange();
  }

  /** To the next frame that can be shown, or the one before; false without a clip.
   * @param {1 | -1} by */
  step(by) {
    const clip = this.#clip;
    const next = clip?.frames[positionOf(clip, this.#wanted) + by];
    if (next) this.show(next.index);
    return clip !== null;
  }

  /** To the next frame with prompts of its own, or the one before. @param {1 | -1} by
   * @param {Prompts} prompts */
  stepKey(by, prompts) {
    const clip = this.#clip;
    const beyond = (/** @type {number} */ key) => clip && key < clip.count && (key - this.#wanted) * by > 0;
    const keys = keyFrames(prompts, this.unframed).filter(beyond);
    if (keys.length) this.show(by > 0 ? keys[0] : keys[keys.length - 1]);
    return clip !== null;
  }

  /** @param {boolean} isOnly */
  #setOnly(isOnly) {
    this.#isOnly = isOnly;
    this.onChange();
  }

  /** Whether a prompt is on the frame that is shown. @param {Point | Box | import("./types.d.ts").Painted} item */
  has(item) {
    return isOn(item, this.frame, this.unframed);
  }

  /** Where those on it stand among all prompts. @param {Prompts} prompts */
  items(prompts) {
    return itemsOn(prompts, this.frame, this.unframed);
  }

  /** Those on it. @param {Prompts} prompts */
  shown(prompts) {
    return onFrame(prompts, this.frame, this.unframed);
  }

  /** Whether what a run was asked for is what is asked for now, on this frame of a clip.
   * @param {Prompts | null} then @param {Prompts} now */
  isSame(then, now) {
    return this.#clip !== null && then !== null && isSameOn(then, now, this.frame, this.unframed);
  }

  /** Whether prompts only correct what another frame shows, and cannot be decoded alone.
   * @param {Prompts} prompts of this frame */
  isCorrection({ points, boxes, masks }) {
    const all = [...points, ...boxes];
    return this.unframed === "first" && all.length > 0 && !masks.length && !all.some(({ positive }) => positive);
  }

  /** @param {Prompts} prompts */
  update(prompts) {
    this.row.update({
      clip: this.#clip,
      wanted: this.#wanted,
      shown: this.frame,
      keys: keyFrames(prompts, this.unframed),
      isOnly: this.#isOnly,
      hasChoice: this.unframed === "every",
    });
  }
}
