// @ts-check
/** Which mask lies over the image: one that is asked for while one edits, or that of the last run. */

import { LivePreview } from "./live_preview.js";

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

  /** @param {string} text the mask of the last run is of this text, or not shown */
  showRun(text) {
    const { source } = this.stage;
    this.preview.stop();
    if (source?.mask && source.mask.text === text) this.stage.loadMask(source.mask.url);
    else this.stage.clearMask();
  }

  /** @param {string} points on screen @param {string} mask_choice */
  ask(points, mask_choice) {
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
