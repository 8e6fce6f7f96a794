// @ts-check
/**
 * Moves an element from its slot into a window over the page, and back.
 *
 * No `<dialog>`, and nothing that calls itself modal: the graph's undo stands still while there is
 * one on the page.
 */

const FOCUSABLE = "button, input, [tabindex='0']";
/** The graph would delete the node. */
const GRAPHS_OWN = ["Delete", "Backspace"];

export class FullSize {
  /** @type {HTMLElement | null} */
  #window = null;

  /** @param {HTMLElement} element @param {string} name of the window @param {() => void} onChange */
  constructor(element, name, onChange) {
    this.element = element;
    this.name = name;
    this.onChange = onChange;
    this.slot = document.createElement("div");
    this.slot.className = "sa-slot";
    this.slot.append(element);
  }

  get isOpen() {
    return this.#window !== null;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  open() {
    if (this.#window) return;
    const frame = document.createElement("div");
    frame.className = "sa-full-size";
    frame.tabIndex = -1;
    frame.setAttribute("role", "dialog");
    frame.setAttribute("aria-label", this.name);
    frame.addEventListener("keydown", (event) => this.#onKey(event));
    frame.append(this.element);
    document.body.append(frame);
    this.#window = frame;
    this.onChange();
  }

  close() {
    if (!this.#window) return;
    this.slot.append(this.element);
    this.#window.remove();
    this.#window = null;
    this.onChange();
  }

  /** @param {KeyboardEvent} event that the element has not taken for itself */
  #onKey(event) {
    if (event.key === "Tab") this.#wrap(event);
    else if (event.key === "Escape") this.close();
    else if (!GRAPHS_OWN.includes(event.key)) return;
    event.stopPropagation();
  }

  /** The focus stays in the window. @param {KeyboardEvent} event */
  #wrap(event) {
    const all = [...this.element.querySelectorAll(FOCUSABLE)].filter((one) => one.checkVisibility());
    const [first, last] = event.shiftKey ? [all[all.length - 1], all[0]] : [all[0], all[all.length - 1]];
    if (document.activeElement !== last || !(first instanceof HTMLElement)) return;
    first.focus();
    event.preventDefault();
  }
}
