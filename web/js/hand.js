// @ts-check
/** What the hand does on the editor's canvas. */

import { hitTest } from "./drawing.js";
import { addBox, moveCorner, moveItem, removeItem } from "./edits.js";
import { drawn } from "./limits.js";
import { noPrompts } from "./points.js";
import { toImage } from "./view.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./types.d.ts").Hit} Hit */
/** @typedef {import("./types.d.ts").XY} XY */

/** @param {Editor} editor @returns {import("./gestures.js").GestureTarget} */
export function gestureTarget(editor) {
  const { stage } = editor;
  return {
    hit: (at) => {
      const { prompts, options, selected } = editor;
      return stage.frame && hitTest(stage.frame, prompts, editor.clip.items(prompts), at, options, selected);
    },
    select: (hit) => editor.select(hit),
    click: (at, isNegative) => editor.click(at, isNegative),
    remove: (hit) => editor.change(removeItem(editor.prompts, hit), "removed"),
    drawBox: (from, to, isNegative) => drawBox(editor, from, to, isNegative),
    move: (hit, from, to) => move(editor, hit, from, to),
    finish: () => editor.finish(),
    cancel: () => editor.cancel(),
    pan: (dx, dy) => editor.pan(dx, dy),
    zoom: (at, factor) => stage.zoom(at, factor),
    canEdit: () => editor.canEdit,
  };
}

/** @param {Editor} editor @param {XY} from @param {XY} to @param {boolean} isNegative */
function drawBox(editor, from, to, isNegative) {
  const { size, object } = editor;
  const { frame } = editor.stage;
  const positive = editor.signOf(isNegative);
  if (!size || !frame || !editor.mayDraw(drawn("box", positive))) return;
  const [one, other] = [toImage(frame, from), toImage(frame, to)];
  const box = { x1: one.x, y1: one.y, x2: other.x, y2: other.y, positive, object, frame: editor.clip.promptFrame };
  editor.showBox(addBox(noPrompts(), box, size).boxes[0]);
}

/** @param {Editor} editor @param {Hit} hit @param {XY} from @param {XY} to */
function move(editor, hit, from, to) {
  const { size, committed } = editor;
  const { frame } = editor.stage;
  if (!size || !frame) return;
  const [one, other] = [toImage(frame, from), toImage(frame, to)];
  const [dx, dy] = [other.x - one.x, other.y - one.y];
  const moved = hit.corner
    ? moveCorner(committed, hit, hit.corner, dx, dy, size)
    : moveItem(committed, hit, dx, dy, size);
  editor.setDraft(moved);
}
