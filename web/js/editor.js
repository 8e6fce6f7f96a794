// @ts-check
/**
 * The editor: an image on which clicks and boxes are made. It knows nothing of ComfyUI: text comes
 * in and goes out, an image and masks come in, and the rest is told through events.
 */

import { Brush } from "./brush.js";
import { ClipView } from "./clip_view.js";
import { Edited } from "./edited.js";
import { addBox, itemOf, nameObject, objectNumbers } from "./edits.js";
import { FullSize } from "./full_size.js";
import { Gestures } from "./gestures.js";
import { gestureTarget } from "./hand.js";
import { drawn, NO_LIMITS, refusal, takes } from "./limits.js";
import { listen } from "./listening.js";
import { Masks } from "./masks.js";
import { noPrompts } from "./points.js";
import { Stage } from "./stage.js";
import { awaitsRun, describe, describeAnswer, Status } from "./status.js";
import { say } from "./texts.js";
import { Toolbar } from "./toolbar.js";

/** @typedef {import("./types.d.ts").Drawn} Drawn */
/** @typedef {import("./types.d.ts").EditorEvents} EditorEvents */
/** @typedef {import("./types.d.ts").EditorOptions} EditorOptions */
/** @typedef {import("./types.d.ts").EditorState} EditorState */
/** @typedef {import("./types.d.ts").Limits} Limits */
/** @typedef {import("./types.d.ts").Prompts} Prompts */
/** @typedef {import("./types.d.ts").Ref} Ref */
/** @typedef {import("./types.d.ts").Source} Source */
/** @typedef {import("./types.d.ts").Texts} Texts */
/** @typedef {import("./types.d.ts").Unframed} Unframed */
/** @typedef {import("./types.d.ts").XY} XY */

export class Editor {
  #edited = new Edited();
  #object = 0;
  #positive = true;
  #isLinked = false;
  #isLive = true;
  #choice = "best";
  /** @type {Limits} */
  #limits = NO_LIMITS;
  /** Of a run for the mask. @type {import("./types.d.ts").Progress | null} */
  #progress = null;
  /** @type {Ref | null} */
  selected = null;

  /**
   * @param {Texts} texts @param {EditorOptions} options @param {EditorEvents} events
   * @param {import("./masks.js").Send} send asks for a mask
   * @param {Unframed} unframed what prompts without a frame are on
   */
  constructor(texts, options, events, send, unframed) {
    this.texts = texts;
    this.options = options;
    this.events = events;
    this.stage = new Stage(texts, () => this.#showSource());
    this.clip = new ClipView(texts, this.stage, unframed, () => this.#showFrame());
    this.gestures = new Gestures(this.stage.canvas, gestureTarget(this));
    this.brush = new Brush(this);
    this.stage.ring = () => this.brush.ring;
    this.masks = new Masks(this.stage, send, (answer) => {
      this.notify(describeAnswer(texts, answer) || this.status.notice);
    });
    this.toolbar = new Toolbar(texts, {
      sign: (positive) => this.#setSign(positive),
      brush: () => this.brush.toggle(),
      object: (object) => this.setObject(object),
      rename: (object, name) => this.change(nameObject(this.prompts, object, name)),
      encode: () => events.encode(),
      fit: () => this.stage.fit(),
      clear: () => this.clear(),
      text: () => events.toggleText(),
      full: () => this.fullSize.toggle(),
    });
    this.status = new Status(texts);
    this.root = document.createElement("div");
    this.root.className = "sa-editor";
    this.root.append(this.toolbar.root, this.stage.root, this.clip.row.root, this.status.root);
    this.fullSize = new FullSize(this.root, say(texts, "area"), () => this.#showFull());
    this.stage.onView = () => this.#refresh();
    listen(this);
    this.#refresh();
  }

  /** The prompts as they are on screen. */
  get prompts() {
    return this.#edited.prompts;
  }

  /** The same without what a gesture in its middle has changed. */
  get committed() {
    return this.#edited.committed;
  }

  /** What stands where the editor is to be; the editor, or nothing while it is in a window. */
  get slot() {
    return this.fullSize.slot;
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
    return !this.#isLinked && !this.#edited.unreadable && this.size !== null;
  }

  /** The text as it was last committed or set. */
  get text() {
    return this.#edited.text;
  }

  /** Whether no mask of the prompts that are shown can be had without a run. */
  get awaitsRun() {
    return awaitsRun(this.#status);
  }

  /** The image pixel in the middle of what is shown, in CSS pixels of the area. @returns {XY} */
  get middle() {
    const [width, height] = this.stage.area;
    return { x: width / 2, y: height / 2 };
  }

  /** @returns {EditorState} */
  get state() {
    return {
      view: this.stage.view,
      object: this.#object,
      positive: this.#positive,
      ...this.clip.state,
      isFull: this.fullSize.isOpen,
      isPainting: this.brush.isOn,
      diameter: this.brush.diameter,
    };
  }

  /** Tells what is kept of the editor while its node is made anew. */
  keepState() {
    this.events.state(this.state);
  }

  /** @param {EditorState} state */
  restore({ view, object, positive, isFull, isPainting, diameter, ...clip }) {
    this.stage.restoreView(view);
    this.#object = object;
    this.#positive = positive;
    this.brush.set(isPainting, diameter);
    this.clip.restore(clip);
    if (isFull) this.fullSize.open();
    this.#refresh();
  }

  /** @param {string} text from outside: a saved workflow, undo, the text box, a run */
  setText(text) {
    if (text === this.text) return;
    this.#edited.text = text;
    this.status.note("");
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
    this.clip.setSources(sources);
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

  /** @param {import("./types.d.ts").Progress | null} progress of a run for the mask, null for none */
  setProgress(progress) {
    this.#progress = progress;
    this.#refresh();
  }

  /** @param {string} message shown until the next edit */
  notify(message) {
    this.status.note(message);
    this.#refresh();
  }

  /** Removes all prompts, and a text that cannot be read. */
  clear() {
    if (this.#isLinked) return;
    this.#object = 0;
    this.change(noPrompts(), "removed");
  }

  /** @param {number} object that new prompts belong to */
  setObject(object) {
    this.#object = object;
    this.keepState();
    this.notify(this.prompts.names[object] ?? say(this.texts, "object", object + 1));
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

  /** @param {Prompts} prompts in the middle of a gesture */
  setDraft(prompts) {
    this.#edited.draft = prompts;
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
    if (what) this.selected = null;
    this.status.note(what ? say(this.texts, what) : "");
    if (this.#edited.keep(prompts, this.size)) this.events.commit(this.text);
    this.#ask();
    this.#refresh();
  }

  /** Keeps what a drag or a held key has made. */
  finish() {
    this.brush.end();
    const box = this.stage.draft;
    this.stage.draft = null;
    if (box && this.size) {
      const prompts = addBox(this.prompts, box, this.size);
      this.selected = { kind: "box", index: prompts.boxes.length - 1 };
      this.change(prompts);
    } else if (this.#edited.draft) {
      this.change(this.#edited.draft);
    }
  }

  /** Forgets it. */
  cancel() {
    this.brush.end();
    this.stage.draft = null;
    if (this.#edited.draft) {
      this.#edited.draft = null;
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
    this.status.note(refusal(this.texts, this.#limits, one), true);
    this.#refresh();
    return false;
  }

  /** Whether the model takes this item with the other sign; says so where not.
   * @param {any} item @param {Ref} ref */
  mayFlip(item, ref) {
    return this.mayDraw(drawn(ref.kind, !item.positive));
  }

  dispose() {
    // The state that was kept last is the one to come back to.
    this.fullSize.onChange = () => {};
    this.fullSize.close();
    this.masks.stop();
    this.stage.dispose();
  }

  /** @param {boolean} positive */
  #setSign(positive) {
    const { lacks } = this.#limits;
    if (!positive && lacks.negative_boxes && !this.mayDraw("negative_points")) return;
    this.#positive = positive;
    this.keepState();
    this.#refresh();
  }

  #showFrame() {
    this.cancel();
    this.keepState();
  }

  #showFull() {
    this.keepState();
    this.#refresh();
    this.stage.canvas.focus({ preventScroll: true });
  }

  /** Another image is there: its size decides where the prompts are. */
  #showSource() {
    const { source } = this.stage;
    // What a run says is of the prompts that it was for.
    if (!source?.note || source.mask?.text === this.text) this.status.note(source?.note ?? "");
    this.#read();
    this.#ask(true);
  }

  /** Reads the text for the image's size. */
  #read() {
    const isOther = this.#edited.read(this.size);
    // A mask that comes for the same prompts takes nothing out of the hand.
    if (isOther) this.selected = null;
    const numbers = objectNumbers(this.committed);
    if (isOther && !numbers.includes(this.#object)) this.#object = numbers[0] ?? 0;
    this.#refresh();
  }

  /** Shows the mask of what is on screen. @param {boolean} [isRunFirst] the last run's where it can be */
  #ask(isRunFirst = false) {
    this.masks.update(this.#edited, this.clip, { isLive: this.#isLive, choice: this.#choice, isRunFirst });
  }

  #refresh() {
    const { prompts, selected, options, clip } = this;
    const { source } = this.stage;
    this.stage.scene = { prompts, isShown: (item) => clip.has(item), selected, options };
    this.stage.schedule();
    this.toolbar.update({
      positive: this.#positive,
      isPainting: this.brush.isOn,
      object: this.#object,
      objects: objectNumbers(prompts),
      names: prompts.names,
      hasObjects: !this.#limits.isExamples,
      canEdit: this.canEdit,
      isEmpty: this.#isLinked || (!this.text && !this.#edited.unreadable),
      isZoomed: (this.stage.view?.zoom ?? 1) > 1,
      needsEncode: this.#isLive && !source?.key && !source?.hasRun,
      progress: this.#progress,
      isFull: this.fullSize.isOpen,
    });
    clip.update(prompts);
    this.status.update(this.#status);
  }

  /** @returns {import("./status.js").StatusState} */
  get #status() {
    return {
      prompts: this.prompts,
      shown: this.clip.shown(this.prompts),
      source: this.size ? this.stage.source : null,
      unreadable: this.#edited.unreadable,
      isLinked: this.#isLinked,
      isLive: this.#isLive,
      progress: this.#progress,
      limits: this.#limits,
    };
  }
}
