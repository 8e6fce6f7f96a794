// What the editor says of a preview.

import assert from "node:assert/strict";
import { test } from "node:test";

import { describePreview } from "../../web/js/status.js";
import { TEXTS } from "../../web/js/texts.js";

const said = (found, tried, asked) => describePreview(TEXTS, { found, tried, asked });

test("nothing where every object has a mask", () => {
  assert.equal(said(3, 3, 3), "");
});

test("how many were found where all were tried", () => {
  assert.equal(said(0, 3, 3), "Nothing found there.");
  assert.equal(said(2, 3, 3), "Found 2 of 3 objects.");
});

test("objects that were not tried are not called missing", () => {
  for (const found of [0, 7, 12]) {
    assert.equal(said(found, 12, 60), "The preview stopped after 12 of 60 objects. Run to see them all.");
  }
});
