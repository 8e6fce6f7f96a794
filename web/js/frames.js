// @ts-check
/** The row below the image of a clip: which frame is shown, and where prompts are. */

import { positionOf } from "./clips.js";
import { makeButton, describe } from "./toolbar.js";
import { say } from "./texts.js";

/** @typedef {import("./types.d.ts").Clip} Clip */
/** @typedef {import("./types.d.ts").Texts} Texts */

/**
 * @typedef {object} FramesEvents
 * @property {(frame: number) => void} show
 * @property {(by: 1 | -1) => void} step
 * @property {(isOnly: boolean) => void} only
 */

/**
 * @typedef {object} FramesState
 * @property {Clip | null} clip null where there is none: the row is hidden
 * @property {number} wanted the frame that is asked for
 * @property {number} shown the one whose picture is there
 * @property {number[]} keys frames with prompts of their own
 * @property {boolean} isOnly whether new prompts are for the shown frame alone
 * @property {boolean} hasChoice whether they could be for every frame
 */

export class Frames {
  #isOnly = false;
  /** @type {Clip | null} */
  #clip = null;

  /** @param {Texts} texts @param {FramesEvents} events */
  constructor(texts, events) {
    this.texts = texts;
    this.slider = document.createElement("input");
    this.slider.type = "range";
    this.slider.min = "0";
    this.slider.step = "1";
    this.slider.className = "sa-slider";
    this.slider.setAttribute("aria-label", say(texts, "frame"));
    this.slider.title = say(texts, "frameHelp");
    this.slider.addEventListener("input", () => this.#slide(events));
    // The graph has keys and drags of its own.
    this.slider.addEventListener("keydown", (event) => event.stopPropagation());
    this.marks = document.createElement("div");
    this.marks.className = "sa-marks";
    this.track = document.createElement("div");
    this.track.className = "sa-track";
    this.track.append(this.marks, this.slider);
    this.number = document.createElement("span");
    this.number.className = "sa-frame";
    this.only = makeButton("sa-button sa-only", say(texts, "only"), () => events.only(!this.#isOnly));
    describe(this.only, say(texts, "only"), say(texts, "onlyHelp"));
    this.root = document.createElement("div");
    this.root.className = "sa-frames";
    this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
    const step = (/** @type {"previous" | "next"} */ key, /** @type {string} */ label, /** @type {1 | -1} */ by) => {
      const button = makeButton(`sa-button sa-${key}`, label, () => events.step(by));
      describe(button, say(texts, `${key}Frame`), say(texts, `${key}Frame`));
      return button;
    };
    this.root.append(step("previous", "‹", -1), this.track, step("next", "›", 1), this.number, this.only);
  }

  /** @param {FramesState} state */
  update({ clip, wanted, shown, keys, isOnly, hasChoice }) {
    this.#clip = clip;
    this.#isOnly = isOnly;
    this.root.hidden = !clip;
    if (!clip) return;
    const last = clip.count - 1;
    this.slider.max = String(clip.frames.length - 1);
    this.slider.value = String(positionOf(clip, wanted));
    this.slider.setAttribute("aria-valuetext", say(this.texts, "frameOf", shown, last));
    this.number.textContent = `${shown} / ${last}`;
    this.number.title = say(this.texts, "frameOf", shown, last);
    this.only.hidden = !hasChoice;
    this.only.setAttribute("aria-pressed", String(isOnly));
    this.#mark(clip, keys);
  }

  /** @param {FramesEvents} events */
  #slide(events) {
    if (this.#clip) events.show(this.#clip.frames[Number(this.slider.value)].index);
  }

  /** @param {Clip} clip @param {number[]} keys */
  #mark(clip, keys) {
    const wanted = JSON.stringify([clip.count, keys]);
    if (this.marks.dataset.shown === wanted) return;
    this.marks.dataset.shown = wanted;
    const marks = keys.filter((key) => key < clip.count).map((key) => {
      const mark = document.createElement("i");
      mark.style.setProperty("--sa-at", String(positionOf(clip, key) / Math.max(clip.frames.length - 1, 1)));
      mark.dataset.frame = String(key);
      return mark;
    });
    this.marks.replaceChildren(...marks);
  }
}
