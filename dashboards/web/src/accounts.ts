/** The ledger as a sentence and as a table: what was polled is somewhere, or the strip is red. */

import { formatCount } from "./format";
import { say, type Key, type Lang } from "./i18n";
import type { Counts, LedgerBody } from "./wire";

export type Tone = "ok" | "loss" | "wrong" | "unknown";

export const sum = (counts: Counts): number => Object.values(counts).reduce((a, b) => a + b, 0);

export function toneOf(body: LedgerBody | null): Tone {
  if (!body) return "unknown";
  if (body.differences.length) return "wrong";
  return lost(body) ? "loss" : "ok";
}

/** Readings that exist nowhere any more, each with a reason. */
export function lost({ total }: LedgerBody): number {
  return sum(total.refused) + sum(total.given_up) + sum(total.rejected);
}

/** Readings on their way: on the poles' disks and in the agents' memory. */
export const underWay = ({ total }: LedgerBody): number => total.waiting + total.pending;

/** `3,214 readings: all accounted for; 12 waiting` */
export function sentence(body: LedgerBody | null, lang: Lang): string {
  if (!body) return say(lang, "ledgerUnknown");
  const n = (value: number): string => formatCount(value, lang);
  const polled = n(body.total.polled);
  const parts = body.differences.length
    ? [say(lang, "ledgerWrong", { polled, n: body.differences.length })]
    : [say(lang, "ledgerOk", { polled })];
  if (underWay(body)) parts.push(say(lang, "ledgerWaiting", { n: n(underWay(body)) }));
  if (lost(body)) parts.push(say(lang, "ledgerLost", { n: n(lost(body)) }));
  return parts.join(lang === "zh" ? "；" : "; ");
}

export interface Account {
  key: Key;
  count: number;
  /** Reason words with their counts; empty where the account has none. */
  reasons: Counts;
  /** A loss or a complaint when it is not zero. */
  grave: boolean;
}

const account = (key: Key, count: number | Counts, grave = false): Account =>
  typeof count === "number" ? { key, count, reasons: {}, grave } : { key, count: sum(count), reasons: count, grave };

/** The poles' side, in the order in which a reading travels. */
export function poleAccounts({ total }: LedgerBody): Account[] {
  return [
    account("polled", total.polled),
    account("good", total.good),
    account("uncertain", total.uncertain),
    account("badCount", total.bad),
    account("unchanged", total.unchanged),
    account("pending", total.pending),
    account("discarded", total.discarded),
    account("handed", total.handed),
    account("refused", total.refused, true),
    account("spooled", total.spooled),
    account("waiting", total.waiting),
    account("stored", total.stored),
    account("duplicate", total.duplicate),
    account("rejected", total.rejected, true),
    account("givenUp", total.given_up, true),
  ];
}

/** The centre's own count of what arrived. */
export function centreAccounts({ intake }: LedgerBody): Account[] {
  return [
    account("arrived", intake.arrived),
    account("stored", intake.stored),
    account("duplicate", intake.duplicate),
    account("rejected", intake.rejected, true),
    account("laterCount", intake.later),
    account("malformed", intake.malformed, true),
  ];
}
