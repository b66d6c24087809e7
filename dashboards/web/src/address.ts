/** What the page remembers in its URL, so that a link or a reload shows the same thing. */

import { STATES, type State } from "./display";
import { langOf, type Lang } from "./i18n";

export const RANGES = { "10m": 600, "1h": 3600, "24h": 86_400 } as const;
export type RangeName = keyof typeof RANGES;

export interface Address {
  lang: Lang;
  series: number | null;
  range: RangeName;
  show: State | "all";
}

export function readAddress(search: string): Address {
  const query = new URLSearchParams(search);
  const series = query.get("series");
  const range = query.get("range") ?? "";
  const show = query.get("show") as State;
  return {
    lang: langOf(search),
    series: series !== null && /^\d+$/.test(series) ? Number(series) : null,
    range: range in RANGES ? (range as RangeName) : "10m",
    show: STATES.includes(show) ? show : "all",
  };
}

/** The shortest query that reads back as the same address. */
export function writeAddress(address: Address): string {
  const query = new URLSearchParams();
  if (address.lang !== "zh") query.set("lang", address.lang);
  if (address.show !== "all") query.set("show", address.show);
  if (address.series !== null) query.set("series", String(address.series));
  if (address.series !== null && address.range !== "10m") query.set("range", address.range);
  const text = query.toString();
  return text ? `?${text}` : "./";
}
