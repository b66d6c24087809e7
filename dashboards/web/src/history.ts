/**
 * Readings of one point over time, ready to draw: a line that is broken wherever something is missing.
 *
 * It breaks at a reading without a value, where a report is overdue between two neighbours, and where a declared gap covers
 * most of the time between them. It never joins across any of these.
 */

import { lateAfterUs } from "./staleness";
import type { HistoryBody, QualityWord, Row, Value, WireGap } from "./wire";

export interface Sample {
  at: number;
  value: Value;
  quality: QualityWord;
  reason: string;
}

/** More is neither seen on a screen nor asked for: 24 h at one reading a second. */
export const MAX_SAMPLES = 100_000;

export function samplesOf(body: HistoryBody): Sample[] {
  return body.at.map((at, i) => ({
    at,
    value: body.value[i] ?? null,
    quality: body.quality[i] ?? "good",
    reason: body.reason[i] ?? "none",
  }));
}

export function sampleOfRow([, value, at, quality, reason]: Row): Sample | null {
  return at === null ? null : { at, value, quality: quality ?? "bad", reason };
}

/** Both lists in order of time, one sample a time (the later list wins), nothing older than `from`. */
export function merge(older: Sample[], newer: Sample[], from: number): Sample[] {
  const last = older.at(-1);
  const first = newer[0];
  const tail = first === undefined || last === undefined || first.at > last.at;
  const all = tail ? older.concat(newer) : [...new Map([...older, ...newer].map((s) => [s.at, s])).values()];
  if (!tail) all.sort((a, b) => a.at - b.at);
  let start = 0;
  while (start < all.length && (all[start]?.at ?? 0) < from) start++;
  return all.slice(Math.max(start, all.length - MAX_SAMPLES));
}

export interface Columns {
  /** Seconds, ascending, as uPlot wants them. */
  x: number[];
  /** null breaks the line. */
  line: (number | null)[];
  /** Only the uncertain values, drawn as marks. */
  uncertain: (number | null)[];
  /** Readings that came and carried no value. */
  bad: Sample[];
  /** How often the line is broken between two values. */
  breaks: number;
}

const numeric = (s: Sample): number | null =>
  s.quality === "bad" ? null : typeof s.value === "number" ? s.value : typeof s.value === "boolean" ? +s.value : null;

/** The same time covered by intervals in order that do not touch each other. */
function disjoint(gaps: WireGap[]): [begin: number, end: number][] {
  const merged: [number, number][] = [];
  for (const gap of gaps.toSorted((a, b) => a.begin - b.begin)) {
    const last = merged.at(-1);
    if (last && gap.begin <= last[1]) last[1] = Math.max(last[1], gap.end);
    else merged.push([gap.begin, gap.end]);
  }
  return merged;
}

/** Asked for one pair of neighbours after the other, in order of time. */
class GapCursor {
  private readonly covers: [number, number][];
  private first = 0;

  constructor(gaps: WireGap[]) {
    this.covers = disjoint(gaps);
  }

  /** True when a gap lies wholly between two times, or gaps cover most of the time between them. */
  separates(from: number, to: number): boolean {
    let total = 0;
    while (this.first < this.covers.length && (this.covers[this.first]?.[1] ?? 0) <= from) this.first++;
    for (let i = this.first; i < this.covers.length; i++) {
      const [begin, end] = this.covers[i] ?? [Infinity, Infinity];
      if (begin >= to) break;
      if (begin >= from && end <= to) return true;
      total += Math.min(end, to) - Math.max(begin, from);
    }
    return total * 2 > to - from;
  }
}

export function columnsOf(samples: Sample[], gaps: WireGap[], periodS: number): Columns {
  const lateUs = lateAfterUs(periodS);
  const declared = new GapCursor(gaps);
  const columns: Columns = { x: [], line: [], uncertain: [], bad: [], breaks: 0 };
  let before: Sample | undefined;
  let broken = true;
  for (const sample of samples) {
    if (before && (sample.at - before.at > lateUs || declared.separates(before.at, sample.at))) {
      push(columns, (before.at + sample.at) / 2, null, null);
      broken = true;
    }
    const value = numeric(sample);
    if (value === null) columns.bad.push(sample);
    else if (broken && columns.line.length) columns.breaks++;
    broken = value === null;
    push(columns, sample.at, value, sample.quality === "uncertain" ? value : null);
    before = sample;
  }
  return columns;
}

function push(columns: Columns, at: number, value: number | null, uncertain: number | null): void {
  columns.x.push(at / 1e6);
  columns.line.push(value);
  columns.uncertain.push(uncertain);
}

export interface Summary {
  n: number;
  min: number | null;
  max: number | null;
}

export function summaryOf(columns: Columns): Summary {
  let [n, min, max] = [0, Infinity, -Infinity];
  for (const value of columns.line) {
    if (value === null) continue;
    n++;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return n ? { n, min, max } : { n, min: null, max: null };
}
