/** What a point shows: one state, one word, one value. Pure; the component only draws it. */

import { formatNumber } from "./format";
import { say, type Lang } from "./i18n";
import { reasonText } from "./reasons";
import type { Freshness } from "./staleness";
import type { QualityWord, Value } from "./wire";

/** Each has its own colour, icon and word (styles/states.css, components/icon.tsx, i18n.ts). */
export const STATES = ["fresh", "uncertain", "bad", "late", "silent", "ahead", "never", "unheard"] as const;
export type State = (typeof STATES)[number];

/** From best to worst, for the mark of a card that holds several points. */
const SEVERITY: Record<State, number> = {
  fresh: 0,
  never: 1,
  uncertain: 2,
  unheard: 3,
  ahead: 4,
  late: 5,
  bad: 6,
  silent: 7,
};

export interface Seen {
  value: Value;
  quality: QualityWord | null;
  reason: string;
}

/** Age wins over quality, quality over freshness; and on a cut stream nothing is fresh. */
export function stateOf(seen: Seen, fresh: Freshness, cut: boolean): State {
  if (fresh !== "fresh") return fresh;
  if (seen.quality === "bad" || seen.value === null) return "bad";
  if (cut) return "unheard";
  return seen.quality === "uncertain" ? "uncertain" : "fresh";
}

export function worst(states: Iterable<State>): State {
  let found: State = "fresh";
  for (const state of states) if (SEVERITY[state] > SEVERITY[found]) found = state;
  return found;
}

export interface Display {
  /** "—" when there is no value: never zero, never the one before. */
  text: string;
  hasValue: boolean;
  /** Why there is no value, or why it is doubtful; may be empty. */
  why: string;
}

export function displayOf(seen: Seen, at: number | null, lang: Lang): Display {
  const why = reasonText(seen.reason, lang);
  if (at === null) return { text: "—", hasValue: false, why: "" };
  if (seen.quality === "bad" || seen.value === null) {
    return { text: "—", hasValue: false, why: why || say(lang, "bad") };
  }
  return { text: valueText(seen.value, lang), hasValue: true, why };
}

export function valueText(value: Exclude<Value, null>, lang: Lang): string {
  if (typeof value === "number") return formatNumber(value, lang);
  if (typeof value === "boolean") return lang === "zh" ? (value ? "是" : "否") : value ? "yes" : "no";
  return value;
}
