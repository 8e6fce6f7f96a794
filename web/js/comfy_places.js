// @ts-check
/** Which nodes have an editor, and on which of their inputs. */

/**
 * @typedef {object} Place
 * @property {string} points the text that is edited
 * @property {string} chooser the input with which that text comes and goes, "" where it stays
 * @property {string} image the input with the image
 * @property {boolean} isPointsOnly whether nothing else can show an object, apart from sockets
 * @property {boolean} isExamples whether only boxes are drawn, around examples of what to find
 * @property {boolean} hasPreview whether masks can be asked for without a run
 * @property {import("./types.d.ts").Unframed} unframed what a prompt without a frame is on
 * @property {number} height of a new node, as its other inputs leave room for the image
 */

/** @type {Record<string, Place>} */
export const PLACES = {
  SegmentAnywherePoint: {
    points: "points",
    chooser: "",
    image: "image",
    isPointsOnly: true,
    isExamples: false,
    hasPreview: true,
    unframed: "every",
    height: 640,
  },
  SegmentAnywhereTrack: {
    points: "points",
    chooser: "",
    image: "images",
    isPointsOnly: false,
    isExamples: false,
    hasPreview: true,
    unframed: "first",
    height: 820,
  },
  // There a mask is found with the words, which the editor does not know.
  SegmentAnywhereText: {
    points: "points",
    chooser: "",
    image: "image",
    isPointsOnly: false,
    isExamples: true,
    hasPreview: false,
    unframed: "every",
    height: 820,
  },
  // There a mask costs money.
  SegmentAnywhereRemote: {
    points: "provider.points",
    chooser: "provider",
    image: "image",
    isPointsOnly: false,
    isExamples: false,
    hasPreview: false,
    unframed: "every",
    height: 640,
  },
};
