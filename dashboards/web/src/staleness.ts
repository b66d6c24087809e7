/**
 * How old a value may be before the page stops vouching for it. A stale value is never shown as fresh: late and silent
 * are states of their own, and so is a time that lies in the future.
 */

export type Freshness = "never" | "fresh" | "late" | "silent" | "ahead";

/** Time a punctual reading may spend on its way (linger, spool, intake, stream, one tick of this page). */
export const GRACE_US = 2_000_000;
/** A device clock this far ahead would keep a dead value "fresh"; less is jitter between two disciplined clocks. */
export const AHEAD_US = 10_000_000;
const LATE_PERIODS = 2;
const SILENT_PERIODS = 5;
/** For a series that does not say how often it reports. */
const UNKNOWN_PERIOD_S = 60;

export function periodUs(periodS: number): number {
  return (Number.isFinite(periodS) && periodS > 0 ? periodS : UNKNOWN_PERIOD_S) * 1e6;
}

/** A value this much older than its neighbour has missed at least one report: the chart breaks there too. */
export function lateAfterUs(periodS: number): number {
  return LATE_PERIODS * periodUs(periodS) + GRACE_US;
}

export function silentAfterUs(periodS: number): number {
  return SILENT_PERIODS * periodUs(periodS) + GRACE_US;
}

/** `at` and `now` are µs of the server's clock; `at` null means that no reading ever came. */
export function freshness(at: number | null, now: number, periodS: number): Freshness {
  if (at === null) return "never";
  const age = now - at;
  if (age < -AHEAD_US) return "ahead";
  if (age > silentAfterUs(periodS)) return "silent";
  return age > lateAfterUs(periodS) ? "late" : "fresh";
}
