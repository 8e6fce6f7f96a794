// The editor's brush on its grid.

import assert from "node:assert/strict";
import { test } from "node:test";

import { cellsOf, MAX_SIDE, paint } from "../../web/js/painted.js";
import { noPrompts } from "../../web/js/points.js";

const shown = () => true;
const stroke = (further) => ({
  from: { x: 20, y: 10 }, to: { x: 20, y: 10 }, radius: 5, positive: true, object: 0, frame: null, ...further,
});
const area = (mask) => cellsOf(mask).reduce((sum, cell) => sum + cell, 0);

test("a dab is a disc where the hand is", () => {
  const { masks } = paint(noPrompts(), stroke(), [40, 30], shown);
  assert.deepEqual(masks[0].size, [30, 40]);
  const cells = cellsOf(masks[0]);
  for (let column = 0; column < 40; column += 1) {
    for (let row = 0; row < 30; row += 1) {
      const isInside = Math.hypot(column + 0.5 - 20, row + 0.5 - 10) <= 5;
      assert.equal(cells[column * 30 + row], isInside ? 1 : 0);
    }
  }
});

test("the grid has the image's shape and at most so many cells", () => {
  for (const size of [[4000, 1000], [1000, 4000], [1, 5000], [256, 256], [3, 2]]) {
    const to = { x: size[0], y: size[1] };
    const [{ size: [rows, columns] }] = paint(noPrompts(), stroke({ to, radius: 9999 }), size, shown).masks;
    assert.ok(rows >= 1 && columns >= 1 && Math.max(rows, columns) <= MAX_SIDE);
    assert.equal(Math.max(rows, columns), Math.min(MAX_SIDE, Math.max(...size)));
  }
});

test("a stroke has no gaps, and leaves the given prompts as they are", () => {
  const before = paint(noPrompts(), stroke({ from: { x: 5, y: 5 }, to: { x: 5, y: 5 }, radius: 1 }), [40, 30], shown);
  const kept = JSON.stringify(before);
  const after = paint(before, stroke({ to: { x: 35, y: 10 }, radius: 2 }), [40, 30], shown);
  const cells = cellsOf(after.masks[0]);
  for (let column = 20; column < 35; column += 1) assert.equal(cells[column * 30 + 10], 1);
  assert.equal(JSON.stringify(before), kept);
  assert.ok(area(after.masks[0]) > area(before.masks[0]));
});

test("what is erased goes from every mask of the object that is shown", () => {
  let prompts = paint(noPrompts(), stroke(), [40, 30], shown);
  prompts = paint(prompts, stroke({ frame: 2 }), [40, 30], shown);
  prompts = paint(prompts, stroke({ frame: 3 }), [40, 30], shown);
  prompts = paint(prompts, stroke({ object: 1 }), [40, 30], shown);
  assert.equal(prompts.masks.length, 4);
  const isShown = ({ frame }) => frame === null || frame === 2;
  const half = paint(prompts, stroke({ positive: false, radius: 3, frame: 2 }), [40, 30], isShown);
  const whole = area(prompts.masks[0]);
  assert.deepEqual(half.masks.map((mask) => area(mask) < whole), [true, true, false, false]);
  const left = paint(prompts, stroke({ positive: false, radius: 99 }), [40, 30], isShown).masks;
  assert.deepEqual(left.map(({ object, frame }) => [object, frame]), [[0, 3], [1, null]]);
});

test("erasing where nothing is painted makes nothing", () => {
  assert.deepEqual(paint(noPrompts(), stroke({ positive: false }), [40, 30], shown), noPrompts());
});

test("a mask keeps the grid that it came with", () => {
  const mask = { size: [3, 4], counts: [11, 1], object: 0, frame: null };
  const { masks } = paint({ ...noPrompts(), masks: [mask] }, stroke({ from: { x: 1, y: 1 }, to: { x: 1, y: 1 }, radius: 8 }), [40, 30], shown);
  assert.deepEqual(masks, [{ ...mask, counts: [0, 1, 10, 1] }]);
});
