// @ts-check
/** Which mask lies over the image: one that is asked for while one edits, or that of the last run. */

import { promptsOf } from "./edited.js";
import { LivePreview } from "./live_preview.js";
import { isNothing, serialisePoints } from "./points.js";

/** @typedef {import("./types.d.ts").PreviewAnswer} PreviewAnswer */
/** @typedef {import("./types.d.ts").PreviewQuery} PreviewQuery */
/** @typedef {(query: PreviewQuery, signal: AbortSignal) => Promise<PreviewAnswer>} Send */

export class Masks {
  /**
   * @param {import("./stage.js").Stage} stage @param {Send} send
   * @param {(answer: PreviewAnswer) => void} onAnswer after the mask is shown
   */
  constructor(stage, send, onAnswer) {
    this.stage = stage;
    this.onAnswer = onAnswer;
    this.preview = new LivePreview(send, (query, answer) => this.#show(query, answer));
  }

  /**
   * Shows the mask of what is asked for: one that is asked for where that can be, else the last
   * run's where it was asked for the same.
   * @param {import("./edited.js").Edited} edited @param {import("./clip_view.js").ClipView} clip
   * @param {{ isLive: boolean, choice: string, isRunFirst: boolean }} options isLive: whether to ask.
   * choice: the node's mask_choice. isRunFirst: the last run's mask before one that is asked for
   */
  update(edited, clip, { isLive, choice, isRunFirst }) {
    const { source, size } = this.stage;
    const shown = clip.shown(edited.prompts);
    const isEmpty = isNothing(shown);
    const isAsRun = this.#isAsRun(edited, clip);
    const isCorrection = clip.isCorrection(shown);
    const canAsk = isLive && source?.key && size && !isEmpty && !isCorrection && !edited.unreadable;
    if (canAsk && !(isRunFirst && isAsRun)) this.#ask(serialisePoints(shown, size), choice);
    else this.#showRun(isAsRun || isCorrection);
  }

  /** @param {import("./edited.js").Edited} edited @param {import("./clip_view.js").ClipView} clip */
  #isAsRun({ text, committed }, clip) {
    const { source, size } = this.stage;
    if (!source?.mask || !size) return false;
    return source.mask.text === text || clip.isSame(promptsOf(source.mask.text, size), committed);
  }

  /** @param {boolean} isCurrent whether the mask of the last run is still one of what is asked */
  #showRun(isCurrent) {
    const { source } = this.stage;
    this.preview.stop();
    if (source?.mask && isCurrent) this.stage.loadMask(source.mask.url);
    else this.stage.clearMask();
  }

  /** @param {string} points on screen @param {string} mask_choice */
  #ask(points, mask_choice) {
    const key = this.stage.source?.key ?? "";
    this.preview.request({ key, points, mask_choice, side: this.stage.maskSide });
  }

  stop() {
    this.preview.stop();
  }

  /** @param {PreviewQuery} query @param {PreviewAnswer} answer */
  #show(query, answer) {
    if (query.key !== this.stage.source?.key) return;
    if (answer.kind === "mask") this.stage.showMask(answer.blob);
    else this.stage.clearMask();
    if (answer.kind === "absent") this.stage.forgetKey();
    this.onAnswer(answer);
  }
}
