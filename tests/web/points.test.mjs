// The editor's parser on the table that the node's own parser is tested with.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { parsePoints, PointsError, serialisePoints } from "../../web/js/points.js";

const table = new URL("../vectors/points.json", import.meta.url);
const close = (one, other) => Math.abs(one - other) < 1e-9;

for (const vector of JSON.parse(readFileSync(table, "utf8"))) {
  test(vector.name, () => {
    if (vector.error) {
      assert.throws(
        () => parsePoints(vector.text, vector.size),
        (error) => error instanceof PointsError && error.message.includes(vector.error),
      );
      return;
    }
    const prompts = parsePoints(vector.text, vector.size);
    const framed = (one) => ({ frame: null, ...one });
    const { points, boxes, names = {}, masks = [] } = vector;
    assert.deepEqual(prompts, { points: points.map(framed), boxes: boxes.map(framed), names, masks: masks.map(framed) });
    // What the editor writes is read back as the same, by this parser and hence by the node's.
    const written = serialisePoints(prompts, vector.size);
    assert.deepEqual(parsePoints(written, vector.size), prompts);
    assert.equal(written === "", !points.length && !boxes.length && !masks.length);
  });
}

test("a text written for one size is scaled to another", () => {
  const prompts = { points: [{ x: 199.99, y: 50, positive: false, object: 3, frame: 6 }], boxes: [], names: {}, masks: [] };
  const text = serialisePoints(prompts, [200, 100]);
  const [point] = parsePoints(text, [400, 50]).points;
  assert.ok(close(point.x, 399.98) && close(point.y, 25));
  assert.deepEqual([point.positive, point.object, point.frame], [false, 3, 6]);
});

test("the last pixel survives rounding", () => {
  const prompts = { points: [{ x: 199.9999, y: 99.9999, positive: true, object: 0, frame: null }], boxes: [], names: {}, masks: [] };
  const [point] = parsePoints(serialisePoints(prompts, [200, 100]), [200, 100]).points;
  assert.ok(point.x < 200 && point.y < 100);
});

test("the name of an object goes with its last prompt", () => {
  const point = { x: 1, y: 2, positive: true, object: 1, frame: null };
  const prompts = { points: [point], boxes: [], names: { 0: "gone", 1: "cup" }, masks: [] };
  assert.deepEqual(parsePoints(serialisePoints(prompts, [200, 100]), [200, 100]).names, { 1: "cup" });
});

test("the last fraction is the last pixel", () => {
  for (const side of [1, 200, 256, 427, 4096]) {
    const text = '{"unit": "fraction", "points": [[1, 1]], "boxes": [{"x": 0, "y": 0, "width": 1, "height": 1}]}';
    const { points, boxes } = parsePoints(text, [side, side]);
    assert.ok(points[0].x < side && points[0].x > side - 1e-9 && points[0].y === points[0].x);
    assert.deepEqual([boxes[0].x1, boxes[0].y1, boxes[0].x2, boxes[0].y2], [0, 0, side, side]);
  }
});

test("no depth of nesting is an error of its own", () => {
  for (const depth of [900, 5_000, 100_000]) {
    for (const [opening, closing] of [["[", "]"], ['{"points": ', "}"], ['{"x": ', "}"]]) {
      const text = opening.repeat(depth) + "1" + closing.repeat(depth);
      assert.throws(
        () => parsePoints(text, [200, 100]),
        (error) => error instanceof PointsError && error.message.startsWith("points"),
      );
    }
  }
});
