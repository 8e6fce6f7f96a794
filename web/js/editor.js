// @ts-check
/**
 * The editor: an image on which clicks and boxes are made. It knows nothing of ComfyUI: text comes
 * in and goes out, an image and masks come in, and the rest is told through events.
 */

import { addBox, addPoint, itemOf, objectNumbers } from "./edits.js";
import { Gestures } from "./gestures.js";
import { gestureTarget } from "./hand.js";
import { handleKey } from "./keys.js";
import { drawn, NO_LIMITS, refusal, takes } from "./limits.js";
import { Masks } from "./masks.js";
import { noPrompts, parsePoints, PointsError, serialisePoints } from "./points.js";
import { Stage } from "./stage.js";
import { describe, describeAnswer, Status } from "./status.js";
import { say } from "./texts.js";
import { Toolbar } from "./toolbar.js";
import { toImage } from "./view.js";

/** @typedef {import("./types.d.ts").Drawn} Drawn */
/** @typedef {import("./types.d.ts").EditorEvents} EditorEvents */
/** @typedef {import("./types.d.ts").EditorOptions} EditorOptions */
/** @typedef {import("./types.d.ts").EditorState} EditorState */
/** @typedef {import("./types.d.ts").Limits} Limits */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Ref} Ref */
/** @typedef {import("./types.d.ts").Source} Source */
/** @typedef {import("./types.d.ts").Texts} Texts */
/** @typedef {import("./types.d.ts").XY} XY */

export class Editor {
  /** The committed text. */
  #text = "";
  /** Why the text cannot be edited, "" where it can. */
  #unreadable = "";
  /** Prompts in the middle of a gesture. @type {Prompts | null} */
  #draft = null;
  /** @type {Prompts} */
  #committed = noPrompts();
  #object = 0;
  #positive = true;
  #isLinked = false;
  #isLive = true;
  #choice = "best";
  /** What the last answer or action says, until the next edit. */
  #notice = "";
  /** Whether that says that something cannot be done. */
  #isRefusal = false;
  /** @type {Limits} */
  #limits = NO_LIMITS;
  /** @type {Ref | null} */
  selected = null;

  /**
   * @param {Texts} texts @param {EditorOptions} options @param {EditorEvents} events
   * @param {import("./masks.js").Send} send asks for a mask
   */
  constructor(texts, options, events, send) {
    this.texts = texts;
    this.options = options;
    this.events = events;
    this.stage = new Stage(texts, () => this.#showSource());
    this.gestures = new Gestures(this.stage.canvas, gestureTarget(this));
    this.masks = new Masks(this.stage, send, (answer) => {
      this.notify(describeAnswer(texts, answer) || this.#notice);
    });
    this.toolbar = new Toolbar(texts, {
      sign: (positive) => this.#setSign(positive),
      object: (object) => this.setObject(object),
      encode: () => events.encode(),
      fit: () => this.stage.fit(),
      clear: () => this.clear(),
      text: () => events.toggleText(),
    });
    this.status = new Status(texts);
    this.root = document.createElement("div");
    this.root.className = "sa-editor";
    this.root.append(this.toolbar.root, this.stage.root, this.status.root);
    this.stage.onView = () => this.#refresh();
    this.#listen();
    this.#refresh();
  }

  /** The prompts as they are on screen. */
  get prompts() {
    return this.#draft ?? this.#committed;
  }

  /** The same without what a gesture in its middle has changed. */
  get committed() {
    return this.#committed;
  }

  /** That new prompts belong to. */
  get object() {
    return this.#object;
  }

  /** Of the image that the prompts refer to, null before there is one. */
  get size() {
    return this.stage.size;
  }

  get canEdit() {
    return !this.#isLinked && !this.#unreadable && this.size !== null;
  }

  /** The text as it was last committed or set. */
  get text() {
    return this.#text;
  }

  /** The image pixel in the middle of what is shown, in CSS pixels of the area. @returns {XY} */
  get middle() {
    const [width, height] = this.stage.area;
    return { x: width / 2, y: height / 2 };
  }

  /** @returns {EditorState} */
  get state() {
    return { view: this.stage.view, object: this.#object, positive: this.#positive };
  }

  /** @param {EditorState} state */
  restore({ view, object, positive }) {
    this.stage.restoreView(view);
    this.#object = object;
    this.#positive = positive;
    this.#refresh();
  }

  /** @param {string} text from outside: a saved workflow, undo, the text box, a run */
  setText(text) {
    if (text === this.#text) return;
    this.#text = text;
    this.#note("");
    this.#read();
    this.#ask();
  }

  /** @param {boolean} isLinked whether the text comes from another node */
  setLinked(isLinked) {
    if (isLinked === this.#isLinked) return;
    this.#isLinked = isLinked;
    this.cancel();
    this.#refresh();
  }

  /** @param {Source[]} sources in order of preference; the first that can be loaded is shown */
  setSources(sources) {
    this.stage.setSources(sources);
  }

  /** @param {string} choice the mask_choice of the node */
  setChoice(choice) {
    if (choice === this.#choice) return;
    this.#choice = choice;
    this.#ask();
  }

  /** @param {Limits} limits of the model that the prompts are for */
  setLimits(limits) {
    if (JSON.stringify(limits) === JSON.stringify(this.#limits)) return;
    this.#limits = limits;
    this.notify("");
  }

  /** @param {EditorOptions} options @param {boolean} isLive whether to ask for masks */
  setOptions(options, isLive) {
    this.options = options;
    this.#isLive = isLive;
    this.#ask();
    this.#refresh();
  }

  /** @param {string} message shown until the next edit */
  notify(message) {
    this.#note(message);
    this.#refresh();
  }

  /** @param {string} message @param {boolean} [isRefusal] */
  #note(message, isRefusal = false) {
    this.#notice = message;
    this.#isRefusal = isRefusal;
  }

  /** Removes all prompts, and a text that cannot be read. */
  clear() {
    if (this.#isLinked) return;
    this.#unreadable = "";
    this.#object = 0;
    this.change(noPrompts(), "removed");
  }

  /** @param {number} object that new prompts belong to */
  setObject(object) {
    this.#object = object;
    this.events.state(this.state);
    this.notify(say(this.texts, "object", object + 1));
  }

  /** @param {Ref | null} ref */
  select(ref) {
    this.selected = ref;
    const item = ref && itemOf(this.prompts, ref);
    if (item) this.#object = item.object;
    this.notify(item ? describe(this.texts, item) : "");
  }

  /** Whether a new prompt is of what is wanted. @param {boolean} isNegative the right button's */
  signOf(isNegative) {
    return this.#positive !== isNegative;
  }

  /** A click on no item. @param {XY} at in the area @param {boolean} isNegative */
  click(at, isNegative) {
    if (!this.size || !this.stage.frame) return;
    const { x, y } = toImage(this.stage.frame, at);
    // The border beside the image belongs to nothing.
    if (x < 0 || y < 0 || x >= this.size[0] || y >= this.size[1]) return;
    const positive = this.signOf(isNegative);
    if (!this.mayDraw(drawn("point", positive))) return;
    const point = { x, y, positive, object: this.#object, frame: null };
    const prompts = addPoint(this.prompts, point, this.size);
    this.selected = { kind: "point", index: prompts.points.length - 1 };
    this.change(prompts);
    this.notify(describe(this.texts, point));
  }

  /** @param {Prompts} prompts in the middle of a gesture */
  setDraft(prompts) {
    this.#draft = prompts;
    this.#ask();
    this.#refresh();
  }

  /** @param {import("./types.d.ts").Box} box that is being drawn */
  showBox(box) {
    this.stage.draft = box;
    this.#refresh();
  }

  /** Keeps prompts: one undo step. @param {Prompts} prompts @param {"removed"} [what] */
  change(prompts, what) {
    this.#draft = null;
    this.#committed = prompts;
    if (what) this.selected = null;
    this.#note(what ? say(this.texts, what) : "");
    const text = this.size ? serialisePoints(prompts, this.size) : "";
    const isNew = text !== this.#text;
    this.#text = text;
    if (isNew) this.events.commit(text);
    this.#ask();
    this.#refresh();
  }

  /** Keeps what a drag or a held key has made. */
  finish() {
    const box = this.stage.draft;
    this.stage.draft = null;
    if (box && this.size) {
      const prompts = addBox(this.prompts, box, this.size);
      this.selected = { kind: "box", index: prompts.boxes.length - 1 };
      this.change(prompts);
    } else if (this.#draft) {
      this.change(this.#draft);
    }
  }

  /** Forgets it. */
  cancel() {
    this.stage.draft = null;
    if (this.#draft) {
      this.#draft = null;
      this.#ask();
    }
    this.#refresh();
  }

  /** @param {number} dx @param {number} dy in CSS pixels */
  pan(dx, dy) {
    this.stage.pan(dx, dy);
  }

  /** Whether the model takes it; says so where it does not. @param {Drawn} one */
  mayDraw(one) {
    if (takes(this.#limits, one)) return true;
    this.#note(refusal(this.texts, this.#limits, one), true);
    this.#refresh();
    return false;
  }

  /** Whether the model takes this item with the other sign; says so where not.
   * @param {any} item @param {Ref} ref */
  mayFlip(item, ref) {
    return this.mayDraw(drawn(ref.kind, !item.positive));
  }

  dispose() {
    this.masks.stop();
    this.stage.dispose();
  }

  #listen() {
    const { canvas } = this.stage;
    canvas.addEventListener("keydown", (event) => {
      if (!handleKey(this, event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    canvas.addEventListener("keyup", () => !this.gestures.isActive && this.finish());
    canvas.addEventListener("blur", () => !this.gestures.isActive && this.finish());
    canvas.addEventListener("pointerenter", () => this.stage.schedule());
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey || document.activeElement !== canvas) {
        this.events.wheel(event);
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      this.stage.zoom(this.gestures.place(event), 2 ** (-event.deltaY / 300));
    });
  }

  /** @param {boolean} positive */
  #setSign(positive) {
    const { lacks } = this.#limits;
    if (!positive && lacks.negative_boxes && !this.mayDraw("negative_points")) return;
    this.#positive = positive;
    this.events.state(this.state);
    this.#refresh();
  }

  /** Another image is there: its size decides where the prompts are. */
  #showSource() {
    this.#note(this.stage.source?.note ?? "");
    this.#read();
    if (this.stage.source?.mask?.text === this.#text) this.masks.showRun(this.#text);
    else this.#ask();
  }

  /** Reads the text for the image's size. */
  #read() {
    this.selected = null;
    this.#draft = null;
    this.#unreadable = "";
    this.#committed = noPrompts();
    try {
      if (this.size) this.#committed = parsePoints(this.#text, this.size);
    } catch (error) {
      if (!(error instanceof PointsError)) throw error;
      this.#unreadable = error.message;
    }
    const numbers = objectNumbers(this.#committed);
    if (!numbers.includes(this.#object)) this.#object = numbers[0] ?? 0;
    this.#refresh();
  }

  /** Asks for the mask of what is on screen. */
  #ask() {
    const { prompts } = this;
    const isEmpty = !prompts.points.length && !prompts.boxes.length;
    if (isEmpty || !this.#isLive || !this.stage.source?.key || !this.size || this.#unreadable) {
      this.masks.showRun(this.#text);
    } else {
      this.masks.ask(serialisePoints(prompts, this.size), this.#choice);
    }
  }

  #refresh() {
    const { prompts } = this;
    const { source } = this.stage;
    this.stage.scene = { prompts, selected: this.selected, options: this.options };
    this.stage.schedule();
    this.toolbar.update({
      positive: this.#positive,
      object: this.#object,
      objects: objectNumbers(prompts),
      canEdit: this.canEdit,
      isEmpty: this.#isLinked || (!this.#text && !this.#unreadable),
      isZoomed: (this.stage.view?.zoom ?? 1) > 1,
      needsEncode: this.#isLive && !source?.key,
    });
    this.status.update({
      prompts,
      source: this.size ? source : null,
      unreadable: this.#unreadable,
      isLinked: this.#isLinked,
      isLive: this.#isLive,
      notice: this.#notice,
      isRefusal: this.#isRefusal,
      limits: this.#limits,
    });
  }
}
