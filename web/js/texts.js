// @ts-check
/**
 * What the editor says, in English; locales/<language>/main.json has the translations under
 * "segmentAnywhere". {0}, {1} are filled in.
 */

/** @typedef {import("./types.d.ts").Texts} Texts */

/** @type {Texts} */
export const TEXTS = {
  area: "Image editor: click an object to segment it",
  areaHelp:
    "Enter adds a point in the middle, shift Enter one for what is not wanted. Tab goes through points and boxes, arrows move, X flips the sign, Delete removes, Escape lets go. In a clip, comma and full stop go through the frames, Page Up and Page Down through those with points, and so do the left and right arrows while nothing is selected.",
  add: "Add to the object",
  addHelp: "Clicks and boxes show the object. Right click or shift click for what is not wanted.",
  subtract: "Not wanted",
  subtractHelp: "Clicks and boxes show what is not wanted.",
  object: "Object {0}",
  newObject: "New object",
  rename: "Name of object {0}",
  renameHelp: "Double click or F2 for another name",
  encode: "Show mask",
  encodeHelp: "Look at the image once, by running only what this node needs; after that the mask follows each click",
  fit: "Fit",
  fitHelp: "Show the whole image",
  clear: "Clear",
  clearHelp: "Remove all points and boxes",
  text: "{ }",
  textHelp: "Show the points as text",
  full: "Full size",
  fullHelp: "Edit in a window over the graph; Escape closes it",
  frame: "Frame",
  frameHelp: "Which frame is shown; marks are frames with points or boxes of their own",
  frameOf: "Frame {0}, the last one is {1}",
  previousFrame: "Previous frame",
  nextFrame: "Next frame",
  only: "This frame only",
  onlyHelp: "New points and boxes are for the frame that is shown; without this, for every frame",
  noImage: "Connect Load Image, or run once to see the image here.",
  imageGone: "The image of the last run is no longer there. Run once to see it again.",
  hintPoint: "Click an object.",
  hintNegative: "Right click: not wanted.",
  hintBox: "Drag: box.",
  hintExample: "Drag: like this. Right drag: not like this.",
  withRun: "The mask comes with the run",
  calls: "Calls: {0}",
  linked: "The points come from a link: read only.",
  unreadable: "{0}. Mend the text with the button on the right, or clear it.",
  points: "Points: {0}",
  boxes: "Boxes: {0}",
  point: "Point at {0}, {1}: {2}",
  box: "Box from {0}, {1} to {2}, {3}: {4}",
  onObject: "on the object",
  offObject: "not wanted",
  removed: "Removed",
  kind_points: "points",
  kind_negative_points: "points for what is not wanted",
  kind_boxes: "boxes",
  kind_negative_boxes: "boxes for what is not wanted",
  thisModel: "This model",
  notTaken: "{0} takes no {1}.",
  wordsOnly: "{0} takes words only.",
  runRefused: "A run with {0} would be refused.",
  choose: "Choose: {0}.",
  needsRun: "Press Show mask: from then on it follows each click.",
  rough: "{0}, rough: choose a SAM in Load SAM for photographs",
  sourceOnly: "Shown is the source; run once for the exact image.",
  nothingFound: "Nothing found there.",
  foundSome: "Found {0} of {1} objects.",
  stoppedEarly: "The preview stopped after {0} of {1} objects. Run to see them all.",
  noPreview: "No live preview on this server. Run to see the mask.",
  encoding: "Looking at the image, the mask comes next…",
  copied: "Points copied as JSON",
  pasted: "Points pasted",
  notPasted: "The clipboard holds no points",
  noClipboard: "The browser gives no access to the clipboard here",
  encodeFailed: "The node cannot run yet",
  menuSegment: "Segment by click…",
  writeMask: "Use as the image's mask",
  addNode: "Add Point Segment",
  cancel: "Cancel",
  maskFailed: "The image takes no mask. Add Point Segment instead",
  menuClear: "Clear points and boxes",
  menuCopy: "Copy points as JSON",
  menuPaste: "Paste points",
};

/** @param {Texts} texts @param {string} key @param {...(string | number)} values */
export function say(texts, key, ...values) {
  const text = texts[key] ?? TEXTS[key];
  return values.reduce((/** @type {string} */ so, value, index) => so.replaceAll(`{${index}}`, String(value)), text);
}
