// @ts-check
/** What the editor's canvas hears, apart from the gestures of the hand. */

import { handleKey } from "./keys.js";

/** @param {import("./editor.js").Editor} editor */
export function listen(editor) {
  const { canvas } = editor.stage;
  const finish = () => !editor.gestures.isActive && editor.finish();
  canvas.addEventListener("keydown", (event) => {
    if (!handleKey(editor, event)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  canvas.addEventListener("keyup", finish);
  canvas.addEventListener("blur", finish);
  canvas.addEventListener("pointerenter", () => editor.stage.schedule());
  canvas.addEventListener("wheel", (event) => {
    const isGraphs = event.ctrlKey || document.activeElement !== canvas;
    if (isGraphs && !editor.fullSize.isOpen) {
      editor.events.wheel(event);
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    editor.stage.zoom(editor.gestures.place(event), 2 ** (-event.deltaY / 300));
  });
}
