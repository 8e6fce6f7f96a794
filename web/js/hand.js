// @ts-check
/** What the hand does on the editor's canvas. */

import { hitTest } from "./drawing.js";
import { addBox, addPoint, moveCorner, moveItem, removeItem } from "./edits.js";
import { drawn } from "./limits.js";
import { noPrompts } from "./points.js";
import { describe } from "./status.js";
import { toImage } from "./view.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./types.d.ts").Hit} Hit */
/** @typedef {import("./types.d.ts").XY} XY */

/** @param {Editor} editor @returns {import("./gestures.js").GestureTarget} */
export function gestureTarget(editor) {
  const { stage } = editor;
  return {
    hit: (at) => {
      if (editor.brush.isOn) return null;
      const { prompts, options, selected } = editor;
      return stage.frame && hitTest(stage.frame, prompts, editor.clip.items(prompts), at, options, selected);
    },
    select: (hit) => editor.select(hit),
    click: (at, isNegative) => click(editor, at, isNegative),
    remove: (hit) => editor.change(removeItem(editor.prompts, hit), "removed"),
    draw: (from, to, isNegative) => {
      if (editor.brush.isOn) editor.brush.stroke(from, to, isNegative);
      else drawBox(editor, from, to, isNegative);
    },
    move: (hit, from, to) => move(editor, hit, from, to),
    finish: () => editor.finish(),
    cancel: () => editor.cancel(),
    pan: (dx, dy) => editor.pan(dx, dy),
    zoom: (at, factor) => stage.zoom(at, factor),
    canEdit: () => editor.canEdit,
  };
}

/**
 * A click on no item: a point, or a dab of the brush.
 * @param {Editor} editor @param {XY} at in the area @param {boolean} isNegative
 */
export function click(editor, at, isNegative) {
  const { size } = editor;
  const { frame } = editor.stage;
  if (!size || !frame) return;
  const { x, y } = toImage(frame, at);
  // The border beside the image belongs to nothing.
  if (x < 0 || y < 0 || x >= size[0] || y >= size[1]) return;
  if (editor.brush.isOn) {
    editor.brush.dab(at, isNegative);
    return;
  }
  const positive = editor.signOf(isNegative);
  if (!editor.mayDraw(drawn("point", positive))) return;
  const point = { x, y, positive, object: editor.object, frame: editor.clip.promptFrame };
  const prompts = addPoint(editor.prompts, point, size);
  editor.selected = { kind: "point", index: prompts.points.length - 1 };
  editor.change(prompts);
  editor.notify(describe(editor.texts, point));
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
