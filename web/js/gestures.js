// @ts-check
/**
 * Pointer gestures on the editor's canvas: click, drag, pinch. It knows no prompts: it finds out
 * what the hand does and tells the editor, once per gesture when it is over.
 */

/** @typedef {import("./types.d.ts").XY} XY */
/** @typedef {import("./types.d.ts").Hit} Hit */

/**
 * @typedef {object} GestureTarget
 * @property {(at: XY) => Hit | null} hit
 * @property {(hit: Hit) => void} select
 * @property {(at: XY, isNegative: boolean) => void} click on no item
 * @property {(hit: Hit) => void} remove
 * @property {(from: XY, to: XY, isNegative: boolean) => void} draw while the hand moves
 * @property {(hit: Hit, from: XY, to: XY) => void} move while the hand moves
 * @property {() => void} finish the drag is over: keep what it made
 * @property {() => void} cancel forget it
 * @property {(dx: number, dy: number) => void} pan
 * @property {(at: XY, factor: number) => void} zoom
 * @property {() => boolean} canEdit
 */

/** A hand that stays within this many CSS pixels clicks. */
const CLICK_REACH = 4;
const MIDDLE = 1;
const RIGHT = 2;

/**
 * @typedef {object} Press
 * @property {number} id
 * @property {XY} from
 * @property {Hit | null} hit
 * @property {"item" | "empty" | "remove" | "pan" | "pinch"} kind
 * @property {boolean} isNegative
 * @property {boolean} isDrag
 */

export class Gestures {
  /** @type {Press | null} */
  #press = null;
  /** Where each finger is. @type {Map<number, XY>} */
  #fingers = new Map();

  /** @param {HTMLElement} element @param {GestureTarget} target */
  constructor(element, target) {
    this.element = element;
    this.target = target;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", (event) => this.#abandon(event));
    element.addEventListener("lostpointercapture", (event) => this.#abandon(event));
    element.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** Whether a gesture is under way. */
  get isActive() {
    return this.#press !== null;
  }

  /** CSS pixels of the element, whatever the graph's zoom. @param {MouseEvent} event @returns {XY} */
  place(event) {
    const rect = this.element.getBoundingClientRect();
    return {
      x: ((event.clientX - rect.left) * this.element.clientWidth) / rect.width,
      y: ((event.clientY - rect.top) * this.element.clientHeight) / rect.height,
    };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    // The graph pans with the middle button.
    if (event.button === MIDDLE) return;
    // No preventDefault: without the mouse events that follow, the graph would note no undo step.
    event.stopPropagation();
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.#fingers.set(event.pointerId, at);
    if (this.#fingers.size > 1) {
      this.target.cancel();
      if (this.#press) this.#press.kind = "pinch";
      return;
    }
    const hit = this.target.hit(at);
    this.#press = {
      id: event.pointerId,
      from: at,
      hit,
      kind: pressKind(event, hit, this.target.canEdit()),
      isNegative: event.button === RIGHT || event.shiftKey,
      isDrag: false,
    };
    if (hit && this.#press.kind !== "pan") this.target.select(hit);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#fingers.get(event.pointerId);
    const press = this.#press;
    if (!before || !press) return;
    event.stopPropagation();
    const at = this.place(event);
    if (press.kind === "pinch") {
      this.#pinch(event.pointerId, at);
      return;
    }
    this.#fingers.set(event.pointerId, at);
    press.isDrag ||= Math.hypot(at.x - press.from.x, at.y - press.from.y) > CLICK_REACH;
    if (!press.isDrag) return;
    if (press.kind === "pan") this.target.pan(at.x - before.x, at.y - before.y);
    else if (press.kind === "item" && press.hit) this.target.move(press.hit, press.from, at);
    else if (press.kind === "empty") this.target.draw(press.from, at, press.isNegative);
  }

  /** @param {number} id @param {XY} at */
  #pinch(id, at) {
    const [one, other] = [...this.#fingers.values()];
    const before = { middle: middle(one, other), spread: spread(one, other) };
    this.#fingers.set(id, at);
    const [now, there] = [...this.#fingers.values()];
    const centre = middle(now, there);
    this.target.pan(centre.x - before.middle.x, centre.y - before.middle.y);
    if (before.spread > 0) this.target.zoom(centre, spread(now, there) / before.spread);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const press = this.#press;
    if (!this.#fingers.delete(event.pointerId) || !press) return;
    event.stopPropagation();
    if (this.#fingers.size) return;
    this.#press = null;
    if (press.kind === "remove" && press.hit) this.target.remove(press.hit);
    else if (press.kind === "empty" && !press.isDrag) this.target.click(press.from, press.isNegative);
    else if (press.isDrag && press.kind !== "pan" && press.kind !== "pinch") this.target.finish();
  }

  /** @param {PointerEvent} event */
  #abandon(event) {
    if (!this.#fingers.delete(event.pointerId) || !this.#press) return;
    if (this.#fingers.size) return;
    this.#press = null;
    this.target.cancel();
  }
}

/** @param {PointerEvent} event @param {Hit | null} hit @param {boolean} canEdit @returns {Press["kind"]} */
function pressKind(event, hit, canEdit) {
  if (event.ctrlKey || event.metaKey || !canEdit) return "pan";
  if (!hit) return event.altKey ? "pan" : "empty";
  return event.altKey ? "remove" : "item";
}

/** @param {XY} one @param {XY} other */
function middle(one, other) {
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
}

/** @param {XY} one @param {XY} other */
function spread(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
