// Prompts and pictures over the frames of a clip.

import assert from "node:assert/strict";
import { test } from "node:test";

import { atFrame, isSameOn, itemsOn, keyFrames, onFrame, positionOf } from "../../web/js/clips.js";

const point = (x, frame) => ({ x, y: 1, positive: true, object: 0, frame });
const box = (x1, frame) => ({ x1, y1: 0, x2: x1 + 9, y2: 9, positive: true, object: 0, frame });
const mask = (object, frame) => ({ size: [1, 2], counts: [1, 1], object, frame });
const prompts = { points: [point(0, null), point(1, 0), point(2, 4)], boxes: [box(3, 4), box(4, null)], masks: [mask(5, 4), mask(6, null)] };

for (const [unframed, frame, points, boxes, masks] of [
  ["every", 0, [0, 1], [4], [6]],
  ["every", 4, [0, 2], [3, 4], [5, 6]],
  ["every", 7, [0], [4], [6]],
  ["first", 0, [0, 1], [4], [6]],
  ["first", 4, [2], [3], [5]],
  ["first", 7, [], [], []],
]) {
  test(`on frame ${frame}, those without a frame on ${unframed}`, () => {
    const shown = onFrame(prompts, frame, unframed);
    assert.deepEqual(shown.points.map(({ x }) => x), points);
    assert.deepEqual(shown.boxes.map(({ x1 }) => x1), boxes);
    assert.deepEqual(shown.masks.map(({ object }) => object), masks);
    const items = itemsOn(prompts, frame, unframed);
    const found = items.map(({ kind, index }) => prompts[kind === "point" ? "points" : "boxes"][index]);
    assert.deepEqual(found, [...shown.points, ...shown.boxes]);
  });
}

test("key frames are those with prompts of their own", () => {
  assert.deepEqual(keyFrames(prompts, "every"), [0, 4]);
  assert.deepEqual(keyFrames({ points: [point(0, null)], boxes: [], masks: [] }, "every"), []);
  assert.deepEqual(keyFrames({ points: [point(0, null)], boxes: [box(1, 12), box(1, 3)], masks: [] }, "first"), [0, 3, 12]);
  assert.deepEqual(keyFrames({ points: [], boxes: [], masks: [mask(0, 8)] }, "every"), [8]);
});

test("what changes on one frame leaves the others as they are", () => {
  const then = { points: [point(0, null), point(1, 2)], boxes: [], masks: [] };
  const now = { points: [point(0, null), point(5, 2)], boxes: [], masks: [] };
  assert.deepEqual([0, 1, 2].map((frame) => isSameOn(then, now, frame, "every")), [true, true, false]);
  const all = { points: [point(9, null), point(1, 2)], boxes: [], masks: [] };
  assert.deepEqual([0, 1, 2].map((frame) => isSameOn(then, all, frame, "every")), [false, false, false]);
  assert.deepEqual([0, 1, 2].map((frame) => isSameOn(then, all, frame, "first")), [false, true, true]);
});

const clip = {
  count: 9,
  frames: [0, 3, 5, 6].map((index) => ({ index, url: `u${index}`, key: `k${index}`, mask: `m${index}` })),
};
const source = {
  url: "large",
  size: [9, 9],
  key: "k0",
  mask: { url: "large mask", text: "t" },
  note: "",
  isExact: true,
  hasRun: true,
  frame: 0,
  clip,
};

test("a frame that cannot be shown gives way to the one before", () => {
  const shown = [0, 1, 3, 4, 5, 8, 99].map((frame) => clip.frames[positionOf(clip, frame)].index);
  assert.deepEqual(shown, [0, 0, 3, 3, 5, 6, 6]);
});

test("a source shows its frames", () => {
  assert.equal(atFrame(source, 0), source);
  assert.deepEqual(atFrame(source, 4), {
    ...source,
    frame: 3,
    url: "u3",
    key: "k3",
    mask: { url: "m3", text: "t" },
  });
  assert.equal(atFrame({ ...source, mask: null }, 5).mask, null);
  const single = { ...source, clip: null };
  assert.equal(atFrame(single, 5), single);
});
