// @ts-check
/** The editor's canvas: which image is shown, which part of it, and the mask over it. */

import { draw, maskLayers } from "./drawing.js";
import { noPrompts } from "./points.js";
import { say } from "./texts.js";
import { fitView, panBy, within, zoomAt } from "./view.js";

/** @typedef {import("./types.d.ts").Box} Box */
/** @typedef {import("./types.d.ts").Frame} Frame */
/** @typedef {import("./types.d.ts").Size} Size */
/** @typedef {import("./types.d.ts").Source} Source */
/** @typedef {import("./types.d.ts").Texts} Texts */
/** @typedef {import("./types.d.ts").View} View */
/** @typedef {import("./types.d.ts").XY} XY */
/** @typedef {import("./drawing.js").MaskLayers} MaskLayers */

/** The canvas has at most this many device pixels for each CSS pixel, however far one zooms in. */
const MAX_RATIO = 4;
const MASK_SIDES = { least: 256, most: 1024 };

export class Stage {
  /** @type {Source | null} */
  source = null;
  /** @type {Size | null} */
  size = null;
  /** @type {View | null} */
  view = null;
  /** A box that is being drawn. @type {Box | null} */
  draft = null;
  /** The ring of the brush, null without one. @type {() => import("./drawing.js").Ring | null} */
  ring = () => null;
  /** @type {Omit<import("./drawing.js").Scene, "frame" | "picture" | "mask" | "draft" | "ring">} */
  scene = { prompts: noPrompts(), isShown: () => true, selected: null, options: { opacity: 0.5, pointSize: 16 } };
  /** Called when the view changes. */
  onView = () => {};
  /** @type {HTMLImageElement | null} */
  #picture = null;
  /** @type {MaskLayers | null} */
  #mask = null;
  /** The mask that came with the source. @type {{ url: string, layers: MaskLayers } | null} */
  #ready = null;
  /** Which mask was asked for last; earlier ones arrive too late. */
  #maskTurn = 0;
  #sources = "[]";
  #isScheduled = false;

  /** @param {Texts} texts @param {() => void} onSource another image, or none, is shown */
  constructor(texts, onSource) {
    this.texts = texts;
    this.onSource = onSource;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "sa-canvas";
    this.canvas.tabIndex = 0;
    // Nodes 2.0 gives the wheel to the graph but for such elements with focus.
    this.canvas.dataset.captureWheel = "true";
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", say(texts, "area"));
    this.canvas.setAttribute("aria-description", say(texts, "areaHelp"));
    this.message = document.createElement("div");
    this.message.className = "sa-message";
    this.message.textContent = say(texts, "noImage");
    this.root = document.createElement("div");
    this.root.className = "sa-stage";
    this.root.append(this.canvas, this.message);
    this.observer = new ResizeObserver(() => this.schedule());
    this.observer.observe(this.root);
  }

  /** Width and height in CSS pixels, before the graph's zoom. @returns {Size} */
  get area() {
    return [this.root.clientWidth, this.root.clientHeight];
  }

  /** @returns {Frame | null} */
  get frame() {
    const { size, view, area } = this;
    return size && view && area[0] && area[1] ? { view: within({ view, image: size, area }), image: size, area } : null;
  }

  /** The side of a mask that is as fine as the screen. */
  get maskSide() {
    const wanted = Math.max(...this.area) * this.#ratio() * (this.view?.zoom ?? 1);
    return Math.round(Math.min(Math.max(wanted, MASK_SIDES.least), MASK_SIDES.most));
  }

  /** @param {Source[]} sources in order of preference */
  async setSources(sources) {
    const wanted = JSON.stringify(sources);
    if (wanted === this.#sources) return;
    this.#sources = wanted;
    for (const source of sources) {
      // The frames of a clip come with their masks, so that they do not flicker as one goes through.
      const [picture, layers] = await Promise.all([
        loadPicture(source.url, this.#picture),
        source.clip && source.mask ? loadLayers(source.mask.url) : null,
      ]);
      // Others may have been set meanwhile.
      if (wanted !== this.#sources) return;
      if (picture) {
        this.#ready = layers && source.mask && { url: source.mask.url, layers };
        this.#show(source, picture);
        return;
      }
    }
    this.#show(null, null);
    this.message.textContent = say(this.texts, sources.length ? "imageGone" : "noImage");
  }

  /** @param {Source | null} source @param {HTMLImageElement | null} picture */
  #show(source, picture) {
    const old = this.size;
    // The same picture keeps its mask until the next one is there, so that a run does not flicker.
    if (picture !== this.#picture) this.clearMask();
    this.source = source;
    this.#picture = picture;
    this.size = source && picture ? (source.size ?? [picture.naturalWidth, picture.naturalHeight]) : null;
    const isOther = old?.[0] !== this.size?.[0] || old?.[1] !== this.size?.[1];
    if (this.size && (!this.view || (old && isOther))) this.view = fitView(this.size);
    this.message.hidden = this.size !== null;
    this.onSource();
  }

  /** The preview's key is of no use any more. */
  forgetKey() {
    if (this.source) this.source = { ...this.source, key: "", hasRun: false };
  }

  /** @param {View | null} view */
  restoreView(view) {
    this.view = view;
    this.schedule();
  }

  fit() {
    if (this.size) this.#setView(fitView(this.size));
  }

  /** @param {number} dx @param {number} dy in CSS pixels */
  pan(dx, dy) {
    const { frame } = this;
    if (frame) this.#setView(panBy(frame, dx, dy));
  }

  /** @param {XY} at @param {number} factor */
  zoom(at, factor) {
    const { frame } = this;
    if (frame) this.#setView(zoomAt(frame, at, factor));
  }

  /** @param {View} view */
  #setView(view) {
    this.view = view;
    this.onView();
    this.schedule();
  }

  /** @param {string} url of a mask picture that a run has left */
  async loadMask(url) {
    const turn = ++this.#maskTurn;
    const layers = this.#ready?.url === url ? this.#ready.layers : await loadLayers(url);
    if (layers) this.#setMask(layers, turn);
  }

  /** @param {Blob} blob a mask picture */
  async showMask(blob) {
    const turn = ++this.#maskTurn;
    this.#setMask(maskLayers(await createImageBitmap(blob)), turn);
  }

  /** @param {MaskLayers} layers @param {number} turn */
  #setMask(layers, turn) {
    if (turn !== this.#maskTurn) return;
    this.#mask = layers;
    this.schedule();
  }

  clearMask() {
    this.#maskTurn += 1;
    this.#mask = null;
    this.schedule();
  }

  /** Draws at the next frame of the screen. */
  schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.#draw();
    });
  }

  dispose() {
    this.observer.disconnect();
  }

  #draw() {
    const { frame, canvas } = this;
    const [width, height] = this.area;
    const ratio = this.#ratio();
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    const ctx = canvas.getContext("2d");
    if (!ctx) return;
    if (!frame) {
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      return;
    }
    draw(ctx, { ...this.scene, frame, picture: this.#picture, mask: this.#mask, draft: this.draft, ring: this.ring() }, ratio);
    canvas.dataset.drawn = this.#mask ? "mask" : "image";
  }

  /** Device pixels per CSS pixel, the graph's zoom counted. */
  #ratio() {
    const zoom = this.canvas.clientWidth ? this.canvas.getBoundingClientRect().width / this.canvas.clientWidth : 1;
    return Math.min(Math.max(zoom * window.devicePixelRatio, 1), MAX_RATIO);
  }
}

/**
 * @param {string} url @param {HTMLImageElement | null} shown taken over where it is the same
 * @returns {Promise<HTMLImageElement | null>}
 */
async function loadPicture(url, shown) {
  if (shown?.dataset.url === url) return shown;
  const picture = new Image();
  picture.dataset.url = url;
  picture.src = url;
  try {
    await picture.decode();
    return picture;
  } catch {
    return null;
  }
}

/** @param {string} url of a mask picture @returns {Promise<MaskLayers | null>} */
async function loadLayers(url) {
  try {
    const answer = await fetch(url);
    return answer.ok ? maskLayers(await createImageBitmap(await answer.blob())) : null;
  } catch {
    return null;
  }
}
