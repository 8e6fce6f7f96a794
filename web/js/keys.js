// @ts-check
/** What the keyboard does on the editor's canvas. */

import { flipItem, itemOf, moveItem, removeItem } from "./edits.js";
import { click } from "./hand.js";

/** @typedef {import("./types.d.ts").Ref} Ref */
/** @typedef {import("./editor.js").Editor} Editor */

const STEPS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});
const FAST = 10;
/** How many frames a key goes on. */
const FRAME_STEPS = /** @type {Record<string, 1 | -1>} */ ({ ",": -1, ".": 1 });
/** To which frame with prompts. */
const KEY_FRAME_STEPS = /** @type {Record<string, 1 | -1>} */ ({ PageUp: -1, PageDown: 1 });
/** How a key changes the brush's size. */
const BRUSH_STEPS = /** @type {Record<string, 1 | -1>} */ ({ "[": -1, "]": 1 });
/** How far an arrow moves the view where no item is selected, in CSS pixels. */
const PAN_STEP = 40;

/**
 * Handles a key; true where it was one of the editor's.
 * @param {Editor} editor @param {KeyboardEvent} event @returns {boolean}
 */
export function handleKey(editor, event) {
  // The graph's own: undo, redo, copy, paste, save, queue.
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.key === "Tab") return selectNext(editor, event.shiftKey ? -1 : 1);
  if (event.key === "Escape") return letGo(editor);
  if (event.key in STEPS) return step(editor, STEPS[event.key], event.shiftKey);
  if (event.key in FRAME_STEPS) return editor.clip.step(FRAME_STEPS[event.key]);
  if (event.key in KEY_FRAME_STEPS) return editor.clip.stepKey(KEY_FRAME_STEPS[event.key], editor.prompts);
  // Deleting with nothing selected must not reach the graph, which would delete the node.
  if (event.key === "Delete" || event.key === "Backspace") return remove(editor);
  if (!editor.canEdit) return false;
  if (event.key === "Enter") return addInTheMiddle(editor, event.shiftKey);
  if (event.key.toLowerCase() === "x") return flip(editor);
  if (event.key.toLowerCase() === "b") return takeBrush(editor);
  if (editor.brush.isOn && event.key in BRUSH_STEPS) {
    editor.brush.resize(BRUSH_STEPS[event.key]);
    return true;
  }
  if (event.key === "F2") {
    editor.toolbar.askName(editor.object);
    return true;
  }
  if (/^[1-9]$/.test(event.key)) {
    editor.setObject(Number(event.key) - 1);
    return true;
  }
  return false;
}

/** After the last item the focus goes on. @param {Editor} editor @param {1 | -1} direction */
function selectNext(editor, direction) {
  const { selected } = editor;
  const items = editor.clip.items(editor.prompts);
  const isSelected = (/** @type {Ref} */ ref) => ref.kind === selected?.kind && ref.index === selected.index;
  const from = selected ? items.findIndex(isSelected) : direction > 0 ? -1 : items.length;
  const next = items[from + direction];
  editor.select(next ?? null);
  return next !== undefined;
}

/** @param {Editor} editor */
function letGo(editor) {
  const wasSelected = editor.selected !== null;
  editor.cancel();
  editor.select(null);
  return wasSelected;
}

/** @param {Editor} editor @param {[number, number]} direction @param {boolean} isFast */
function step(editor, [x, y], isFast) {
  if (!editor.selected || !editor.canEdit || !editor.size) {
    // With Shift the view of a clip moves, as that of an image does without.
    if (x && !isFast && editor.clip.step(x > 0 ? 1 : -1)) return true;
    editor.pan(-x * PAN_STEP, -y * PAN_STEP);
    return true;
  }
  const pace = isFast ? FAST : 1;
  // A draft until the key is let go, so that a held arrow is one undo step.
  editor.setDraft(moveItem(editor.prompts, editor.selected, x * pace, y * pace, editor.size));
  return true;
}

/** @param {Editor} editor */
function remove(editor) {
  if (editor.selected && editor.canEdit) editor.change(removeItem(editor.prompts, editor.selected), "removed");
  return true;
}

/** @param {Editor} editor */
function flip(editor) {
  const { selected, prompts } = editor;
  if (selected && !editor.mayFlip(itemOf(prompts, selected), selected)) return true;
  if (selected) editor.change(flipItem(prompts, selected));
  return true;
}

/** @param {Editor} editor */
function takeBrush(editor) {
  editor.brush.toggle();
  return true;
}

/** @param {Editor} editor @param {boolean} isNegative */
function addInTheMiddle(editor, isNegative) {
  if (editor.size) click(editor, editor.middle, isNegative);
  return true;
}
