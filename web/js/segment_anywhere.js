// @ts-check
/** The pack's extension of ComfyUI's frontend: the only file here that imports from it. */

// @ts-ignore: served by ComfyUI
import { api } from "../../../scripts/api.js";
// @ts-ignore: served by ComfyUI
import { app } from "../../../scripts/app.js";
import { followDownloads } from "./comfy_choices.js";
import { chain, NodeEditor } from "./comfy_editor.js";
import { hasPicture, PictureDialog } from "./comfy_dialog.js";
import { isLoader } from "./comfy_graph.js";
import { noteDefinition } from "./comfy_limits.js";
import { noteOutputs, runWithoutOutputs } from "./comfy_outputs.js";
import { fillPlaceholders } from "./comfy_placeholders.js";
import { PLACES } from "./comfy_places.js";
import { followPresets, notePresets } from "./comfy_presets.js";
import { keepNames } from "./comfy_saved_values.js";
import { widen } from "./comfy_sizes.js";
import { parsePoints } from "./points.js";
import { say, TEXTS } from "./texts.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */

const NAME = "SegmentAnywhere";
const SETTINGS = {
  live: `${NAME}.Editor.LivePreview`,
  opacity: `${NAME}.Editor.MaskOpacity`,
  pointSize: `${NAME}.Editor.PointSize`,
  askFirst: `${NAME}.Downloads.AskFirst`,
};

/** @type {Map<ComfyNode, NodeEditor>} */
const editors = new Map();
const texts = { ...TEXTS };

/** As the frontend last told them; it does so when it starts, too. */
const current = { live: true, opacity: 50, pointSize: 16 };

const host = {
  app,
  api,
  texts,
  settings: () => ({
    isLive: current.live,
    options: { opacity: current.opacity / 100, pointSize: current.pointSize },
  }),
};

app.registerExtension({
  name: NAME,
  settings: [
    {
      id: SETTINGS.live,
      category: ["Segment Anywhere", "Editor", "Live preview"],
      name: "Live preview",
      tooltip: "Show the mask while you click, without a run. Works on the CPU.",
      type: "boolean",
      defaultValue: current.live,
      onChange: (/** @type {boolean} */ value) => applySetting({ live: value }),
    },
    {
      id: SETTINGS.opacity,
      category: ["Segment Anywhere", "Editor", "Mask opacity"],
      name: "Mask opacity",
      tooltip: "How strongly the mask colours the image in the editor, in percent.",
      type: "slider",
      attrs: { min: 10, max: 100, step: 5 },
      defaultValue: current.opacity,
      onChange: (/** @type {number} */ value) => applySetting({ opacity: value }),
    },
    {
      id: SETTINGS.pointSize,
      category: ["Segment Anywhere", "Editor", "Point size"],
      name: "Point size",
      tooltip: "Diameter of a point in the editor, in pixels of the screen.",
      type: "slider",
      attrs: { min: 8, max: 32, step: 2 },
      defaultValue: current.pointSize,
      onChange: (/** @type {number} */ value) => applySetting({ pointSize: value }),
    },
    {
      // Read by the server, in nodes/host/settings.py.
      id: SETTINGS.askFirst,
      category: ["Segment Anywhere", "Downloads", "Ask before downloading"],
      name: "Ask before downloading",
      tooltip:
        "Stop a run that would download a model, and say what, how much, from where and how to go on.",
      type: "boolean",
      defaultValue: false,
    },
  ],

  async init() {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("./editor.css", import.meta.url).href;
    document.head.append(style);
    await loadTexts();
    api.addEventListener("graphChanged", refresh);
    runWithoutOutputs(api);
  },

  setup() {
    // Where a subgraph is opened or left.
    app.canvas.canvas.addEventListener("litegraph:set-graph", refresh);
  },

  /** @param {unknown} _type @param {{ name: string }} definition */
  beforeRegisterNodeDef(_type, definition) {
    const place = PLACES[definition.name];
    if (place) noteDefinition(place, definition);
    notePresets(definition);
    noteOutputs(definition);
  },

  /** @param {ComfyNode} node */
  nodeCreated(node) {
    widen(node);
    followDownloads(node);
    followPresets(node);
    fillPlaceholders(node, filled);
    const place = PLACES[node.comfyClass ?? ""];
    if (!place) return;
    if (place.chooser) keepNames(node);
    const editor = new NodeEditor(host, node, place);
    // A copy in the clipboard is made as a node too, and never added or removed.
    chain(node, "onAdded", () => editors.set(node, editor));
    chain(node, "onRemoved", () => editors.delete(node));
  },

  afterConfigureGraph() {
    refresh();
  },

  /** @param {ComfyNode} node */
  getNodeMenuItems(node) {
    const editor = editors.get(node);
    if (!editor && hasPicture(app, node)) {
      const callback = () => new PictureDialog(host, node, (added) => showNew(node, added));
      return [null, { content: say(texts, "menuSegment"), callback }];
    }
    if (!editor?.text.isThere) return [];
    return [
      null,
      { content: say(texts, "menuClear"), callback: () => editor.editor.clear() },
      { content: say(texts, "menuCopy"), callback: () => copy(editor) },
      { content: say(texts, "menuPaste"), callback: () => paste(editor) },
    ];
  },
});

/** Shows the mask on a node that was added for another's picture, unless that has to be made anew.
 * @param {ComfyNode} node @param {ComfyNode} added */
function showNew(node, added) {
  if (isLoader(node)) editors.get(added)?.showMask();
}

/** A text with the frontend's placeholders filled in. @param {string} text @returns {string} */
function filled(text) {
  // @ts-ignore: where the frontend has it for others; importing it makes it warn in the console.
  return window.comfyAPI?.utils?.applyTextReplacements?.(app.graph, text) ?? text;
}

/** @param {Partial<typeof current>} change */
function applySetting(change) {
  Object.assign(current, change);
  for (const editor of editors.values()) editor.applySettings();
}

function refresh() {
  for (const editor of editors.values()) editor.refreshSoon();
}

/** Takes over the language of the user where the pack has it. */
async function loadTexts() {
  const locale = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
  const answer = await api.fetchApi("/i18n").catch(() => null);
  const all = answer?.ok ? await answer.json().catch(() => ({})) : {};
  Object.assign(texts, all[locale]?.segmentAnywhere ?? {});
}

/** @param {NodeEditor} editor */
async function copy({ editor }) {
  try {
    await navigator.clipboard.writeText(editor.text);
    toast("success", "copied");
  } catch {
    toast("warn", "noClipboard");
  }
}

/** @param {NodeEditor} editor */
async function paste(editor) {
  let text;
  try {
    text = await navigator.clipboard.readText();
  } catch {
    toast("warn", "noClipboard");
    return;
  }
  try {
    parsePoints(text, editor.editor.size ?? [Infinity, Infinity]);
  } catch (error) {
    toast("warn", "notPasted", /** @type {Error} */ (error).message);
    return;
  }
  editor.commit(text);
  toast("success", "pasted");
}

/** @param {string} severity @param {string} key @param {string} [detail] */
function toast(severity, key, detail) {
  app.extensionManager.toast.add({ severity, summary: say(texts, key), detail, life: 4000 });
}
