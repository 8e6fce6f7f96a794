// @ts-check
/** The editor in a window, for a picture that any node shows: a mask for it, or a node that makes one. */

import { addPointSegment, createNode, LOADER, loaderOf, POINT } from "./comfy_add.js";
import { BUILT_IN } from "./comfy_engine.js";
import { fileName, fileUrl, imageOutput, shownFile, takesMask, writeMask } from "./comfy_pictures.js";
import { previewOf } from "./comfy_outputs.js";
import { hasPreviews, requestMask } from "./comfy_preview.js";
import { PartRun } from "./comfy_runs.js";
import { ofRun } from "./comfy_sources.js";
import { Editor } from "./editor.js";
import { History } from "./history.js";
import { NO_LIMITS } from "./limits.js";
import { say } from "./texts.js";
import { makeButton } from "./toolbar.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */
/** @typedef {import("./types.d.ts").FileRef} FileRef */

/** The nodes of a run for the window; none of them is in the graph. */
const [IMAGE, MODEL, SEGMENT, SHOWN, GREY, MASK, PICTURE] = [
  "image", "model", "segment", "shown", "grey", "mask", "picture",
].map((name) => `segment_anywhere_window_${name}`);
/** Files of these are as they are shown: others may be turned by what a camera has noted. */
const UPRIGHT = /[.]png$/i;

/** Whether a window can be opened for a node. @param {any} app @param {ComfyNode} node */
export function hasPicture(app, node) {
  return Boolean(node.graph && shownFile(app, node) && (takesMask(node) || imageOutput(node)));
}

export class PictureDialog {
  /** What the run under way has left for the file's mask, null where it is for none.
   * @type {Record<string, FileRef> | null} */
  #left = null;

  /**
   * @param {import("./comfy_editor.js").Host} host @param {ComfyNode} node whose picture it is
   * @param {(node: ComfyNode) => void} onAdded a node was added for the picture
   */
  constructor(host, node, onAdded) {
    this.host = host;
    this.node = node;
    this.onAdded = onAdded;
    this.file = /** @type {FileRef} */ (shownFile(host.app, node));
    const { options, isLive } = host.settings();
    this.write = makeButton("sa-button sa-write", say(host.texts, "writeMask"), () => this.#write());
    this.add = makeButton("sa-button sa-add-node", say(host.texts, "addNode"), () => this.#add());
    this.run = new PartRun(host.api, (progress) => this.#onProgress(progress), (id, output) => this.#onOutput(id, output));
    const send = (/** @type {any} */ query, /** @type {AbortSignal} */ signal) => requestMask(host.api, query, signal);
    this.editor = new Editor(host.texts, options, this.#events(), send, "every");
    this.editor.setOptions(options, isLive && hasPreviews());
    this.history = new History(this.editor.root, (text) => this.editor.setText(text));
    this.#addButtons();
    this.#show(null);
    this.editor.fullSize.open();
    this.editor.fullSize.onChange = () => this.#close();
    this.tracker = host.app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
    // Undo is the window's own; the frontend hears the key before the window does.
    if (this.tracker) this.tracker.undoRedo = async () => true;
  }

  /** @returns {import("./types.d.ts").EditorEvents} */
  #events() {
    return {
      commit: (text) => {
        this.history.note(text);
        if (this.editor.awaitsRun && this.#model.model === BUILT_IN) this.#start();
      },
      toggleText: () => {},
      encode: () => this.#start(),
      wheel: () => {},
      state: () => {},
    };
  }

  #addButtons() {
    const { texts } = this.host;
    const { toolbar, root } = this.editor;
    toolbar.text.hidden = toolbar.full.hidden = true;
    const row = document.createElement("div");
    row.className = "sa-actions";
    const cancel = makeButton("sa-button sa-cancel", say(texts, "cancel"), () => this.editor.fullSize.close());
    if (takesMask(this.node)) row.append(this.write);
    if (imageOutput(this.node)) row.append(this.add);
    row.append(cancel);
    root.append(row);
  }

  /** What Load SAM says in the graph, or would say in a new one. @returns {Record<string, any>} */
  get #model() {
    const loader = loaderOf(this.node.graph) ?? createNode(LOADER);
    return Object.fromEntries((loader?.widgets ?? []).map(({ name, value }) => [name, value]));
  }

  /** @param {any} run of Point Segment on the picture, null before there is one */
  #show(run) {
    const { api, texts } = this.host;
    const url = fileUrl(api, this.file);
    const before = { url, size: null, key: "", mask: null, note: "", rough: "", isExact: true, hasRun: false, frame: 0, clip: null };
    this.editor.setSources([run ? ofRun(api, run, true, "") : before]);
    if (run && !run.negative_boxes) this.editor.setLimits({ ...NO_LIMITS, title: say(texts, "thisModel"), lacks: { negative_boxes: [] } });
  }

  /** Runs what shows the mask, and gives the file one where that is asked for. */
  async #start() {
    if (this.run.isUnderWay) return;
    const targets = this.#left ? [MASK, PICTURE] : [SHOWN];
    try {
      await this.run.start(async () => ({ output: this.#prompt(), workflow: {} }), targets);
    } catch (error) {
      this.#fail("encodeFailed", error);
    }
  }

  #prompt() {
    const points = this.editor.text;
    const prompt = { model: [MODEL, 0], image: [IMAGE, 0], points, mask_choice: "best" };
    return {
      [IMAGE]: { class_type: "LoadImage", inputs: { image: fileName(this.file) } },
      [MODEL]: { class_type: LOADER, inputs: this.#model, _meta: { title: "Load SAM" } },
      [SEGMENT]: { class_type: POINT, inputs: prompt },
      [SHOWN]: previewOf([SEGMENT, 2], "Show mask"),
      [GREY]: { class_type: "MaskToImage", inputs: { mask: [SEGMENT, 0] } },
      [MASK]: { class_type: "PreviewImage", inputs: { images: [GREY, 0] } },
      [PICTURE]: { class_type: "PreviewImage", inputs: { images: [IMAGE, 0] } },
    };
  }

  /** @param {string} id of a node @param {any} output */
  #onOutput(id, output) {
    if (id === SEGMENT) this.#show(output.segment_anywhere?.[0]);
    if (!this.#left || (id !== MASK && id !== PICTURE)) return;
    this.#left[id] = output.images[0];
    if (MASK in this.#left && PICTURE in this.#left) this.#finish(this.#left[MASK], this.#left[PICTURE]);
  }

  /** @param {import("./types.d.ts").Progress | null} progress */
  #onProgress(progress) {
    this.editor.setProgress(progress);
    this.write.disabled = this.add.disabled = progress !== null;
    if (!progress) this.#left = null;
  }

  /** Makes the mask at the picture's size, of the prompts as they are now. */
  #write() {
    if (!this.editor.text) {
      this.editor.notify(say(this.host.texts, "hintPoint"));
      return;
    }
    this.#left = {};
    this.#start();
  }

  /** @param {FileRef} mask a grey picture @param {FileRef} picture as Load Image gives it */
  async #finish(mask, picture) {
    this.#left = null;
    const { api } = this.host;
    try {
      const file = UPRIGHT.test(this.file.filename) ? this.file : picture;
      await writeMask(api, this.node, file, fileUrl(api, mask));
    } catch (error) {
      this.#fail("maskFailed", error);
      return;
    }
    this.editor.fullSize.close();
    this.#note();
  }

  #add() {
    const image = imageOutput(this.node);
    const text = this.editor.text;
    this.editor.fullSize.close();
    const added = image && addPointSegment(this.node, image, text);
    this.#note();
    if (added) this.onAdded(added);
  }

  /** One undo step of the graph. */
  #note() {
    if (this.tracker?.captureCanvasState) this.tracker.captureCanvasState();
    else this.tracker?.checkState?.();
  }

  /** @param {string} key @param {any} error */
  #fail(key, error) {
    const detail = error?.response?.error?.message ?? String(error?.message ?? error);
    const toast = { severity: "warn", summary: say(this.host.texts, key), detail, life: 6000 };
    this.host.app.extensionManager.toast.add(toast);
  }

  #close() {
    if (this.tracker) delete this.tracker.undoRedo;
    this.run.dispose();
    this.editor.dispose();
  }
}
