// @ts-check
/** Moves an element from its slot into a window over the page, and back. */

export class FullSize {
  /** @type {HTMLDialogElement | null} */
  #dialog = null;

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
    return this.#dialog !== null;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  open() {
    if (this.#dialog) return;
    const dialog = document.createElement("dialog");
    dialog.className = "sa-full-size";
    dialog.setAttribute("aria-label", this.name);
    dialog.append(this.element);
    // Escape ends it too.
    dialog.addEventListener("close", () => this.close());
    document.body.append(dialog);
    dialog.showModal();
    this.#dialog = dialog;
    this.onChange();
  }

  close() {
    const dialog = this.#dialog;
    if (!dialog) return;
    this.#dialog = null;
    this.slot.append(this.element);
    dialog.remove();
    this.onChange();
  }
}
