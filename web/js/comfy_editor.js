// @ts-check
/** Ties an editor to a node: the text of its points, its image, its model or provider, its runs. */

import { executionId } from "./comfy_graph.js";
import { isQuick } from "./comfy_engine.js";
import { limitsOf, variantInput } from "./comfy_limits.js";
import { previewOf } from "./comfy_outputs.js";
import { hasPreviews, requestMask } from "./comfy_preview.js";
import { PartRun } from "./comfy_runs.js";
import { noteOf, noteRun, runOf, sourcesOf } from "./comfy_sources.js";
import { PointsText, setHidden, widgetOf } from "./comfy_text.js";
import { Editor } from "./editor.js";
import { say } from "./texts.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */
/** @typedef {import("./types.d.ts").ComfyWidget} ComfyWidget */
/** @typedef {import("./types.d.ts").EditorState} EditorState */
/** @typedef {import("./types.d.ts").PreviewQuery} PreviewQuery */

/**
 * @typedef {object} Host what the adapter gives
 * @property {any} app
 * @property {any} api
 * @property {import("./types.d.ts").Texts} texts
 * @property {() => { options: import("./types.d.ts").EditorOptions, isLive: boolean }} settings
 */

/** `type` must be none that ComfyUI has a component for. */
const WIDGET_TYPE = "SEGMENT_ANYWHERE_EDITOR";
const NODE_WIDTH = 400;
const MIN_HEIGHT = 260;
/** When to look again at the graph and the page, in milliseconds after a change. */
const LOOK_AFTER = [0, 50, 300];
/** And between two looks for what nobody tells of, such as another node's picture that has come. */
const LOOK_EVERY = 1000;
const ENCODE_NODE = "segment_anywhere_encode";
/** Undo makes the node anew; what is no part of the workflow waits here, by the node's place. */
/** @type {Map<string, { editor: EditorState, isTextShown: boolean }>} */
const kept = new Map();

export class NodeEditor {
  #isTextShown = false;
  /** The node's while it shows the editor. */
  #height = 0;
  /** @type {WeakSet<ComfyWidget>} */
  #watched = new WeakSet();
  /** @type {ReturnType<typeof setTimeout>[]} */
  #timers = [];
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #heartbeat;

  /** @param {Host} host @param {ComfyNode} node @param {import("./comfy_places.js").Place} place */
  constructor(host, node, place) {
    this.host = host;
    this.node = node;
    this.place = place;
    this.#height = place.height;
    const { options } = host.settings();
    const send = (/** @type {PreviewQuery} */ query, /** @type {AbortSignal} */ signal) =>
      requestMask(host.api, query, signal);
    this.editor = new Editor(host.texts, options, this.#events(), send, place.unframed);
    this.text = new PointsText(node, place.points);
    this.run = new PartRun(host.api, (progress) => this.editor.setProgress(progress));
    this.widget = addWidget(node, this.editor.slot);
    this.#chain();
    this.#show();
    this.#grow();
    this.editor.root.addEventListener("pointerenter", () => this.refresh());
    this.applySettings();
    this.refreshSoon();
    this.#heartbeat = setInterval(() => this.refresh(), LOOK_EVERY);
  }

  /** Whether the editor is on the page where it should be. */
  get #isLost() {
    const { node } = this;
    const isOpen = node.graph && node.graph === (this.host.app.canvas?.graph ?? null);
    return Boolean(isOpen) && !node.flags?.collapsed && !this.editor.slot.isConnected;
  }

  /**
   * Nodes 2.0 leaves the element of a node that undo or a new subgraph has replaced on the page.
   * Puts ours in its place.
   */
  #heal() {
    if (!this.#isLost) return;
    const stale = document.querySelector(`.lg-node[data-node-id="${this.node.id}"] .sa-slot`);
    stale?.replaceWith(this.editor.slot);
  }

  /** Reads anew all that the graph knows. */
  refresh() {
    const { app, api } = this.host;
    const { node } = this;
    if (!node.graph) return;
    this.#heal();
    this.text.follow();
    this.#watch();
    this.#show();
    this.editor.setLinked(this.text.isLinked);
    this.editor.setLimits(limitsOf(app, node, this.place));
    this.editor.setChoice(widgetOf(node, "mask_choice")?.value ?? "best");
    this.editor.setText(this.text.isLinked ? (runOf(app, node)?.points ?? "") : this.text.value);
    this.editor.setSources(sourcesOf(app, api, node));
  }

  /** The same at once, and when the graph has settled. */
  refreshSoon() {
    this.#timers.forEach(clearTimeout);
    this.#timers = LOOK_AFTER.map((delay) => setTimeout(() => this.refresh(), delay));
  }

  applySettings() {
    const { options, isLive } = this.host.settings();
    this.editor.setOptions(options, this.place.hasPreview && isLive && hasPreviews());
  }

  /** @param {string} text one undo step */
  commit(text) {
    this.text.write(text);
    this.node.setDirtyCanvas?.(true, true);
    const tracker = this.host.app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
    if (tracker?.captureCanvasState) tracker.captureCanvasState();
    else tracker?.checkState?.();
    this.#showSoon();
  }

  /** Brings the mask by itself where that is a matter of a moment. */
  #showSoon() {
    const { editor, host, node, place } = this;
    if (place.isPointsOnly && editor.awaitsRun && isQuick(host.app, node, editor.stage.source)) this.showMask();
  }

  /** @returns {import("./types.d.ts").EditorEvents} */
  #events() {
    return {
      commit: (text) => this.commit(text),
      toggleText: () => this.#toggleText(),
      encode: () => this.showMask(),
      wheel: (event) => {
        event.preventDefault();
        this.host.app.canvas.processMouseWheel(event);
      },
      state: () => this.#keep(),
    };
  }

  #chain() {
    const { node } = this;
    chain(node, "onConfigure", (saved) => {
      this.text.adopt();
      this.#restore();
      this.#show();
      // Some frontends fit the node anew for each provider, in the middle of loading one.
      if (this.place.chooser) this.#resize(saved?.size);
      this.refresh();
    });
    chain(node, "onResize", () => {
      if (this.text.isThere) this.#height = node.size[1];
    });
    chain(node, "onConnectionsChange", () => this.refreshSoon());
    chain(node, "onExecuted", () => {
      noteRun(this.host.app, node);
      this.refresh();
      // What it says is of the prompts that it was for.
      if (runOf(this.host.app, node)?.points === this.editor.text) this.editor.notify(noteOf(this.host.app, node));
    });
    chain(node, "onRemoved", () => {
      this.#keep();
      this.#timers.forEach(clearTimeout);
      clearInterval(this.#heartbeat);
      this.run.dispose();
      this.editor.dispose();
    });
    this.#watch();
  }

  /** Hears of every change to what the editor depends on, at once. */
  #watch() {
    const { node, place } = this;
    for (const name of [place.points, place.chooser, variantInput(node, place)]) {
      const widget = widgetOf(node, name);
      if (!widget || this.#watched.has(widget)) continue;
      this.#watched.add(widget);
      chain(widget, "callback", () => {
        this.refresh();
        if (name === place.chooser) this.#grow();
      });
    }
  }

  get #place() {
    return `${this.node.graph?.id ?? ""}:${this.node.id}`;
  }

  #keep() {
    if (!this.node.graph) return;
    kept.set(this.#place, { editor: this.editor.state, isTextShown: this.#isTextShown });
  }

  #restore() {
    const state = this.node.graph && kept.get(this.#place);
    if (!state) return;
    this.editor.restore(state.editor);
    this.#isTextShown = state.isTextShown;
  }

  #toggleText() {
    this.#isTextShown = !this.#isTextShown;
    this.#show();
    this.#keep();
  }

  /** The editor where there is a text for it, the text itself where it is asked for. */
  #show() {
    this.text.show(this.#isTextShown);
    const isShown = this.text.isThere;
    if (setHidden(this.node, this.widget, !isShown) && !isShown) this.#resize([this.node.size[0], 0]);
  }

  /** As large as the editor needs, and as it was before the frontend fitted the node anew. */
  #grow() {
    if (!this.text.isThere) return;
    const [width, height] = this.node.size ?? [0, 0];
    this.#resize([Math.max(width, NODE_WIDTH), Math.max(height, this.#height)]);
  }

  /** @param {number[] | undefined} size the least height is the widgets' */
  #resize(size) {
    const { node } = this;
    if (!size) return;
    const height = Math.max(size[1], node.computeSize()[1]);
    if (node.size?.[0] !== size[0] || node.size[1] !== height) node.setSize([size[0], height]);
  }

  /** Runs this node and what it needs; the rest of the graph keeps what it has. */
  async showMask() {
    const { app, texts } = this.host;
    if (this.run.isUnderWay) return;
    const make = async () => {
      const { output, workflow } = await app.graphToPrompt();
      // A run needs a node that is an output; this one shows the boxes to nobody.
      output[ENCODE_NODE] = previewOf([executionId(app, this.node), 2], "Encode");
      return { output, workflow };
    };
    try {
      await this.run.start(make, [ENCODE_NODE]);
    } catch (error) {
      const detail = /** @type {any} */ (error)?.response?.error?.message ?? String(error);
      app.extensionManager.toast.add({ severity: "warn", summary: say(texts, "encodeFailed"), detail, life: 6000 });
    }
  }
}

/** Last, and without a value: the `points` text is the only one. @param {ComfyNode} node
 * @param {HTMLElement} element */
function addWidget(node, element) {
  const widget = node.addDOMWidget("editor", WIDGET_TYPE, element, {
    serialize: false,
    hideOnZoom: false,
    hideInPanel: true,
    getMinHeight: () => MIN_HEIGHT,
  });
  widget.serialize = false;
  // The side panel would freeze the editor at the panel's width.
  Object.defineProperty(widget, "width", { get: () => undefined, set() {} });
  return widget;
}

/** Calls `then` after what is there.
 * @param {any} object @param {string} name @param {(...values: any[]) => unknown} then */
export function chain(object, name, then) {
  const first = object[name];
  object[name] = function (/** @type {any[]} */ ...values) {
    const result = first?.apply(this, values);
    then(...values);
    return result;
  };
}
