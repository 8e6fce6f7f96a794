// What a model takes of what can be drawn, in words.

import assert from "node:assert/strict";
import { test } from "node:test";

import { callsOf, DRAWN, EXAMPLES, hint, leftOver, NO_LIMITS, refusal, takes } from "../../web/js/limits.js";
import { TEXTS } from "../../web/js/texts.js";

const boxesOnly = {
  title: "Acme",
  lacks: { points: ["one", "two"], negative_points: ["two"], negative_boxes: [], masks: [] },
  wordsOnly: false,
  isCallEach: true,
};
const point = (positive, object = 0) => ({ x: 1, y: 1, positive, object });
const box = (positive) => ({ x1: 0, y1: 0, x2: 9, y2: 9, positive, object: 0 });

test("a model without limits takes everything, and says nothing", () => {
  assert.ok(DRAWN.every((one) => takes(NO_LIMITS, one)));
  assert.equal(leftOver(TEXTS, NO_LIMITS, { points: [point(false)], boxes: [box(false)], masks: [] }), "");
  assert.equal(hint(TEXTS, NO_LIMITS), "Click an object. Right click: not wanted. Drag: box.");
});

test("a refusal names the model, and who else can", () => {
  assert.equal(refusal(TEXTS, boxesOnly, "points"), "Acme takes no points. Choose: one, two.");
  assert.equal(refusal(TEXTS, boxesOnly, "negative_boxes"), "Acme takes no boxes for what is not wanted.");
  assert.equal(hint(TEXTS, boxesOnly), "Drag: box.");
});

test("what is left over is counted, and only who takes all of it is named", () => {
  const prompts = { points: [point(true), point(true), point(false)], boxes: [box(true)], masks: [] };
  const names = "points (2), points for what is not wanted (1)";
  assert.equal(
    leftOver(TEXTS, boxesOnly, prompts),
    `Acme takes no ${names}. A run with ${names} would be refused. Choose: two.`,
  );
});

test("a model that takes words alone says so", () => {
  const lacks = Object.fromEntries(DRAWN.map((one) => [one, ["other"]]));
  const limits = { ...boxesOnly, lacks, wordsOnly: true };
  assert.equal(hint(TEXTS, limits), "Acme takes words only. Choose: other.");
});

test("examples are boxes of both signs, and no points", () => {
  assert.deepEqual(DRAWN.filter((one) => takes(EXAMPLES, one)), ["boxes", "negative_boxes"]);
  assert.equal(hint(TEXTS, EXAMPLES), "Drag: like this. Right drag: not like this.");
  const prompts = { points: [point(true)], boxes: [box(true), box(false)], masks: [] };
  assert.equal(
    leftOver(TEXTS, EXAMPLES, prompts),
    "This model takes no points (1). A run with points (1) would be refused.",
  );
});

test("painted masks that a model does not take are left over", () => {
  const masks = [{ size: [1, 2], counts: [1, 1], object: 0, frame: null }];
  assert.equal(
    leftOver(TEXTS, boxesOnly, { points: [], boxes: [], masks }),
    "Acme takes no painted masks (1). A run with painted masks (1) would be refused.",
  );
});

test("several objects are counted where each is a call", () => {
  const prompts = { points: [point(true), point(true, 3)], boxes: [], masks: [] };
  assert.equal(callsOf(TEXTS, boxesOnly, prompts), "Calls: 2");
  assert.equal(callsOf(TEXTS, { ...boxesOnly, isCallEach: false }, prompts), "");
  assert.equal(callsOf(TEXTS, boxesOnly, { points: [point(true)], boxes: [], masks: [] }), "");
});
