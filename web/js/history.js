// @ts-check
/** Undo and redo of an editor that has no graph around it. */

export class History {
  /** @type {string[]} */
  #texts = [""];
  #place = 0;

  /** @param {HTMLElement} root whose keys are heard @param {(text: string) => void} show */
  constructor(root, show) {
    this.show = show;
    root.addEventListener("keydown", (event) => {
      const step = stepOf(event);
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.#go(step);
    });
  }

  /** @param {string} text after an edit */
  note(text) {
    this.#place += 1;
    this.#texts.splice(this.#place, Infinity, text);
  }

  /** @param {number} step */
  #go(step) {
    const text = this.#texts[this.#place + step];
    if (text === undefined) return;
    this.#place += step;
    this.show(text);
  }
}

/** @param {KeyboardEvent} event @returns {-1 | 0 | 1} */
function stepOf({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  if ((!ctrlKey && !metaKey) || altKey) return 0;
  const letter = key.toLowerCase();
  if (letter === "y" && !shiftKey) return 1;
  if (letter !== "z") return 0;
  return shiftKey ? 1 : -1;
}
