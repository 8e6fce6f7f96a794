// @ts-check
/** The row of buttons above the image. */

import { colourOf } from "./drawing.js";
import { askForName } from "./name_field.js";
import { say } from "./texts.js";

/** @typedef {import("./types.d.ts").Texts} Texts */

/**
 * @typedef {object} ToolbarEvents
 * @property {(positive: boolean) => void} sign
 * @property {() => void} brush
 * @property {(object: number) => void} object
 * @property {(object: number, name: string) => void} rename
 * @property {() => void} encode
 * @property {() => void} fit
 * @property {() => void} clear
 * @property {() => void} text
 * @property {() => void} full
 */

/**
 * @typedef {object} ToolbarState
 * @property {boolean} positive
 * @property {boolean} isPainting whether the hand has the brush
 * @property {number} object the one that new prompts belong to
 * @property {number[]} objects all there are, ascending
 * @property {Record<number, string>} names of objects, by their numbers
 * @property {boolean} hasObjects whether prompts are of one object or another
 * @property {boolean} canEdit
 * @property {boolean} isEmpty
 * @property {boolean} isZoomed
 * @property {boolean} needsEncode
 * @property {import("./types.d.ts").Progress | null} progress of a run for the mask
 * @property {boolean} isFull
 */

export class Toolbar {
  /** @param {Texts} texts @param {ToolbarEvents} events */
  constructor(texts, events) {
    this.texts = texts;
    this.events = events;
    this.add = this.#button("add", "+", () => events.sign(true));
    this.subtract = this.#button("subtract", "−", () => events.sign(false));
    this.brush = this.#button("brush", "", events.brush);
    this.chips = document.createElement("span");
    this.chips.className = "sa-chips";
    this.encode = this.#button("encode", say(texts, "encode"), events.encode);
    this.fit = this.#button("fit", say(texts, "fit"), events.fit);
    this.clear = this.#button("clear", say(texts, "clear"), events.clear);
    this.text = this.#button("text", say(texts, "text"), events.text);
    this.full = this.#button("full", "", events.full);
    this.root = document.createElement("div");
    this.root.className = "sa-toolbar";
    this.root.setAttribute("role", "toolbar");
    const gap = document.createElement("span");
    gap.className = "sa-gap";
    this.root.append(this.add, this.subtract, this.brush, this.chips, gap);
    this.root.append(this.encode, this.fit, this.clear, this.text, this.full);
  }

  /** @param {ToolbarState} state */
  update(state) {
    this.add.setAttribute("aria-pressed", String(state.positive));
    this.subtract.setAttribute("aria-pressed", String(!state.positive));
    this.brush.setAttribute("aria-pressed", String(state.isPainting));
    // Who gives examples of what to find has no object to paint.
    this.brush.hidden = !state.hasObjects;
    for (const button of [this.add, this.subtract, this.brush]) button.disabled = !state.canEdit;
    this.clear.disabled = state.isEmpty;
    this.fit.hidden = !state.isZoomed;
    this.#updateEncode(state);
    this.full.setAttribute("aria-pressed", String(state.isFull));
    this.chips.hidden = !state.hasObjects;
    this.#updateChips(state);
  }

  /** The button for the mask, which fills up while that is made. @param {ToolbarState} state */
  #updateEncode({ needsEncode, progress }) {
    const share = progress?.share ?? null;
    this.encode.hidden = !needsEncode && !progress;
    this.encode.disabled = progress !== null;
    this.encode.classList.toggle("sa-working", progress !== null);
    this.encode.style.setProperty("--sa-share", `${100 * (share ?? 0)}%`);
    this.encode.textContent = share === null ? say(this.texts, "encode") : `${Math.round(100 * share)} %`;
  }

  /** One chip per object, and one that begins another. @param {ToolbarState} state */
  #updateChips({ object, objects, names, canEdit }) {
    const shown = [...new Set([...objects, object])].sort((a, b) => a - b);
    const wanted = JSON.stringify([shown, object, objects, names, canEdit]);
    if (this.chips.dataset.shown === wanted) return;
    this.chips.dataset.shown = wanted;
    const chips = shown.map((number) => {
      const chip = makeButton("sa-chip", names[number] ?? `${number + 1}`, () => this.events.object(number));
      const name = names[number] ?? say(this.texts, "object", number + 1);
      chip.style.setProperty("--sa-object", colourOf(number));
      chip.setAttribute("aria-pressed", String(number === object));
      describe(chip, name, canEdit ? `${name}. ${say(this.texts, "renameHelp")}` : name);
      if (canEdit) this.#offerNames(chip, number, names[number] ?? "");
      return chip;
    });
    const next = Math.max(...shown) + 1;
    const more = makeButton("sa-chip sa-more", "+", () => this.events.object(next));
    describe(more, say(this.texts, "newObject"), say(this.texts, "newObject"));
    // An object without prompts is one that is about to be drawn already.
    more.disabled = !canEdit || !objects.includes(Math.max(...shown));
    const hadFocus = this.chips.contains(document.activeElement);
    this.chips.replaceChildren(...chips, more);
    if (hadFocus) chips[shown.indexOf(object)].focus();
  }

  /** Asks for the name of an object, where it has a chip. @param {number} object */
  askName(object) {
    const chip = this.chips.querySelector(`[data-object="${object}"]`);
    if (!this.chips.hidden) chip?.dispatchEvent(new MouseEvent("dblclick"));
  }

  /** A double click or F2 asks for an object's name. @param {HTMLButtonElement} chip
   * @param {number} number @param {string} name */
  #offerNames(chip, number, name) {
    const ask = () => {
      const keep = (/** @type {string} */ text) => this.events.rename(number, text);
      askForName(say(this.texts, "rename", number + 1), name, keep, chip);
    };
    chip.addEventListener("dblclick", ask);
    chip.addEventListener("keydown", (event) => {
      if (event.key !== "F2") return;
      event.preventDefault();
      event.stopPropagation();
      ask();
    });
    chip.dataset.object = String(number);
  }

  /** @param {string} key @param {string} label @param {() => void} click */
  #button(key, label, click) {
    const button = makeButton(`sa-button sa-${key}`, label, click);
    describe(button, say(this.texts, key === "text" ? "textHelp" : key), say(this.texts, `${key}Help`));
    return button;
  }
}

/** @param {string} className @param {string} label @param {() => void} click */
export function makeButton(className, label, click) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = className;
  button.textContent = label;
  button.addEventListener("click", click);
  return button;
}

/** @param {HTMLElement} element @param {string} name @param {string} help */
export function describe(element, name, help) {
  element.setAttribute("aria-label", name);
  element.title = help;
}
