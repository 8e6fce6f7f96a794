// @ts-check
/** The brush of the editor: paints the rough mask of the object that is being drawn. */

import { clamp } from "./edits.js";
import { paint } from "./painted.js";
import { say } from "./texts.js";
import { scaleOf, toImage } from "./view.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./types.d.ts").XY} XY */

/** Shares of the image's longer side: the brush's diameter. */
const DIAMETER = { least: 1 / 128, first: 1 / 16, most: 1 / 2 };
const STEP = 1.25;

export class Brush {
  /** As a share of the image's longer side. */
  diameter = DIAMETER.first;
  #isOn = false;
  /** Where the stroke has come to, in the area; null between strokes. @type {XY | null} */
  #last = null;
  /** Where the pointer is, null while it is elsewhere. @type {XY | null} */
  #at = null;

  /** @param {Editor} editor */
  constructor(editor) {
    this.editor = editor;
    const { canvas } = editor.stage;
    canvas.addEventListener("pointermove", (event) => this.#hover(editor.gestures.place(event)));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
  }

  /** Whether the hand paints. */
  get isOn() {
    return this.#isOn;
  }

  /** The ring around what it would paint, in CSS pixels of the area; null where there is none.
   * @returns {import("./drawing.js").Ring | null} */
  get ring() {
    const { frame } = this.editor.stage;
    if (!this.#isOn || !this.#at || !frame) return null;
    return { ...this.#at, radius: this.#radius * scaleOf(frame) };
  }

  /** In pixels of the image. */
  get #radius() {
    return (this.diameter * Math.max(...(this.editor.size ?? [0]))) / 2;
  }

  /** Takes the brush or lays it down; says so where the model takes no masks. */
  toggle() {
    if (!this.#isOn && !this.editor.mayDraw("masks")) return;
    this.set(!this.#isOn, this.diameter);
    if (this.#isOn) this.editor.select(null);
    this.editor.keepState();
    this.editor.notify(this.#isOn ? say(this.editor.texts, "hintBrush") : "");
  }

  /** @param {boolean} isOn @param {number} diameter */
  set(isOn, diameter) {
    this.#isOn = isOn;
    this.diameter = diameter;
  }

  /** @param {1 | -1} direction */
  resize(direction) {
    this.diameter = clamp(this.diameter * STEP ** direction, DIAMETER.least, DIAMETER.most);
    this.editor.keepState();
    this.editor.notify(say(this.editor.texts, "brushSize", Math.max(1, Math.round(2 * this.#radius))));
  }

  /** A dab. @param {XY} at in the area @param {boolean} isNegative */
  dab(at, isNegative) {
    this.stroke(at, at, isNegative);
    this.editor.finish();
  }

  /** One more piece of a stroke. @param {XY} from where the stroke began, in the area
   * @param {XY} to @param {boolean} isNegative */
  stroke(from, to, isNegative) {
    const { editor } = this;
    const { size, clip, object } = editor;
    const { frame } = editor.stage;
    if (!size || !frame || !editor.mayDraw("masks")) return;
    const ends = { from: toImage(frame, this.#last ?? from), to: toImage(frame, to) };
    this.#last = to;
    const stroke = { ...ends, radius: this.#radius, positive: editor.signOf(isNegative), object, frame: clip.promptFrame };
    editor.setDraft(paint(editor.prompts, stroke, size, (mask) => clip.has(mask)));
  }

  /** The hand is up. */
  end() {
    this.#last = null;
  }

  /** @param {XY | null} at */
  #hover(at) {
    this.#at = at;
    if (this.#isOn) this.editor.stage.schedule();
  }
}
