import { expect, test } from "vitest";
import { columnsOf, MAX_SAMPLES, merge, summaryOf, type Sample } from "../src/history";
import type { WireGap } from "../src/wire";

const S = 1e6;
const good = (second: number, value: number | null = second): Sample =>
  value === null
    ? { at: second * S, value, quality: "bad", reason: "timeout" }
    : { at: second * S, value, quality: "good", reason: "none" };
const every2s = (from: number, to: number): Sample[] =>
  Array.from({ length: (to - from) / 2 + 1 }, (_, i) => good(from + 2 * i));
const gap = (begin: number, end: number): WireGap => ({ begin: begin * S, end: end * S, reason: "quota", readings: 3 });

test("punctual readings make one unbroken line", () => {
  const columns = columnsOf(every2s(0, 20), [], 2);
  expect(columns.line).toEqual(every2s(0, 20).map((s) => s.value));
  expect(columns.breaks).toBe(0);
});

test("a report that is overdue breaks the line, a late one does not", () => {
  expect(columnsOf([good(0), good(6)], [], 2).line).toEqual([0, 6]);
  const broken = columnsOf([good(0), good(6.1)], [], 2);
  expect(broken.line).toEqual([0, null, 6.1]);
  expect(broken.x[1]).toBeCloseTo(3.05);
  expect(broken.breaks).toBe(1);
});

test("a reading without a value breaks the line and is marked, never drawn as zero", () => {
  const columns = columnsOf([good(0), good(2, null), good(4)], [], 2);
  expect(columns.line).toEqual([0, null, 4]);
  expect(columns.bad.map((s) => s.reason)).toEqual(["timeout"]);
  expect(columns.breaks).toBe(1);
});

test("a bad reading that carries a value all the same is not drawn", () => {
  const odd: Sample = { at: 2 * S, value: 0, quality: "bad", reason: "timeout" };
  expect(columnsOf([good(0), odd, good(4)], [], 2).line).toEqual([0, null, 4]);
});

test("a declared gap between two readings breaks the line however short it is", () => {
  expect(columnsOf([good(0), good(2)], [gap(0.5, 0.6)], 2).line).toEqual([0, null, 2]);
});

test("readings that survive inside a declared gap stand alone", () => {
  const columns = columnsOf(every2s(0, 8), [gap(1, 7)], 2);
  expect(columns.line).toEqual([0, 2, null, 4, null, 6, 8]);
});

test("a gap elsewhere changes nothing", () => {
  expect(columnsOf(every2s(10, 20), [gap(0, 9), gap(21, 30)], 2).breaks).toBe(0);
});

test("overlapping gaps are not counted twice", () => {
  expect(columnsOf([good(0), good(4)], [gap(-5, 1), gap(-4, 1)], 2).line).toEqual([0, 4]);
});

test("uncertain values are on the line and marked", () => {
  const doubtful: Sample = { at: 2 * S, value: 7, quality: "uncertain", reason: "out_of_range" };
  const columns = columnsOf([good(0), doubtful], [], 2);
  expect(columns.line).toEqual([0, 7]);
  expect(columns.uncertain).toEqual([null, 7]);
});

test("a text is no point of a line", () => {
  const text: Sample = { at: 0, value: "open", quality: "good", reason: "none" };
  expect(columnsOf([text], [], 2).line).toEqual([null]);
});

test("merging keeps time's order, one sample a time, and forgets what left the window", () => {
  const merged = merge([good(0), good(2), good(4)], [good(2, 20), good(3)], 1 * S);
  expect(merged.map((s) => [s.at / S, s.value])).toEqual([[2, 20], [3, 3], [4, 4]]);
});

test("no more samples than fit are kept, and those are the latest", () => {
  const many = Array.from({ length: MAX_SAMPLES + 5 }, (_, i) => good(i));
  const kept = merge([], many, 0);
  expect(kept.length).toBe(MAX_SAMPLES);
  expect(kept[0]?.at).toBe(5 * S);
});

test("a day of readings with five hundred gaps is broken five hundred times", () => {
  const day = Array.from({ length: 86_400 }, (_, i) => good(i));
  const gaps = Array.from({ length: 500 }, (_, i) => gap(i * 100, i * 100 + 1.5));
  expect(columnsOf(day, gaps, 1).breaks).toBe(500);
});

test("a summary of nothing says nothing", () => {
  expect(summaryOf(columnsOf([good(0, null)], [], 2))).toEqual({ n: 0, min: null, max: null });
  expect(summaryOf(columnsOf([good(1), good(3)], [], 2))).toEqual({ n: 2, min: 1, max: 3 });
});
