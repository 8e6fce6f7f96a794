// @ts-check
/** Pictures that nodes show: which file one is, where it comes from, and how it gets a mask. */

import { originSlot, outputOf } from "./comfy_graph.js";
import { widgetOf } from "./comfy_text.js";

/** @typedef {import("./types.d.ts").ComfyNode} ComfyNode */
/** @typedef {import("./types.d.ts").FileRef} FileRef */

/** The node whose file holds a mask, in its alpha channel. */
const TAKES_MASK = "LoadImage";
const MASK_FOLDER = "clipspace";

/** The file that a node shows, of several the one that is looked at; null where it shows none.
 * @param {any} app @param {ComfyNode} node @returns {FileRef | null} */
export function shownFile(app, node) {
  const index = node.imageIndex ?? 0;
  const file = outputOf(app, node)?.images?.[index];
  if (file?.filename) return { subfolder: "", type: "output", ...file };
  const src = node.imgs?.[index]?.src;
  const query = src ? new URL(src, location.href).searchParams : null;
  const filename = query?.get("filename");
  if (!query || !filename) return null;
  return { filename, subfolder: query.get("subfolder") ?? "", type: query.get("type") ?? "output" };
}

/** @param {any} api @param {FileRef} file */
export function fileUrl(api, { filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** How Load Image calls a file. @param {FileRef} file */
export function fileName({ filename, subfolder, type }) {
  return `${subfolder ? `${subfolder}/` : ""}${filename} [${type}]`;
}

/** @param {ComfyNode} node */
export function takesMask(node) {
  return (node.comfyClass ?? node.type) === TAKES_MASK;
}

/** Where a node's picture can be had in the graph: at its own output, or at what it is linked to.
 * @param {ComfyNode} node @returns {{ node: ComfyNode, slot: number } | null} */
export function imageOutput(node) {
  const slot = (node.outputs ?? []).findIndex((/** @type {any} */ each) => each.type === "IMAGE");
  if (slot >= 0) return { node, slot };
  const input = (node.inputs ?? []).findIndex((/** @type {any} */ each) => each.type === "IMAGE" && each.link != null);
  return input < 0 ? null : originSlot(node, input);
}

/**
 * Gives the file of a loading node a mask, as the mask editor does: in a new file, in its alpha.
 * Throws where the server refuses it.
 * @param {any} api @param {ComfyNode} node @param {FileRef} file the picture @param {string} mask the URL of a
 * grey picture, white inside
 */
export async function writeMask(api, node, file, mask) {
  const form = new FormData();
  form.append("image", await alphaOf(mask), `segment-anywhere-${Date.now()}.png`);
  form.append("type", "input");
  form.append("subfolder", MASK_FOLDER);
  form.append("original_ref", JSON.stringify(file));
  const answer = await api.fetchApi("/upload/mask", { method: "POST", body: form });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const { name, subfolder, type } = await answer.json();
  const value = fileName({ filename: name, subfolder, type });
  const widget = widgetOf(node, "image");
  if (!widget) return;
  const values = widget.options?.values;
  if (Array.isArray(values) && !values.includes(value)) values.push(value);
  widget.value = value;
  widget.callback?.(value);
  node.setDirtyCanvas?.(true, true);
}

/** A PNG that is transparent where a mask is white. @param {string} url @returns {Promise<Blob>} */
async function alphaOf(url) {
  const answer = await fetch(url);
  const picture = await createImageBitmap(await answer.blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const ctx = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.drawImage(picture, 0, 0);
  const pixels = ctx.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) pixels.data[at + 3] = 255 - pixels.data[at];
  ctx.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
