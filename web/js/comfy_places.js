// @ts-check
/** Which nodes have an editor, and on which of their inputs. */

/**
 * @typedef {object} Place
 * @property {string} points the text that is edited
 * @property {string} chooser the input with which that text comes and goes, "" where it stays
 * @property {boolean} hasPreview whether masks can be asked for without a run
 */

/** @type {Record<string, Place>} */
export const PLACES = {
  SegmentAnywherePoint: { points: "points", chooser: "", hasPreview: true },
  // There a mask costs money.
  SegmentAnywhereRemote: { points: "provider.points", chooser: "provider", hasPreview: false },
};
