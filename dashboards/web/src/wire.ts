/** What ingest's API says, word for word: types only. Times are UTC in integer microseconds, periods in seconds. */

export type QualityWord = "good" | "uncertain" | "bad";
export type Value = number | string | boolean | null;
/** A title by language; either may be missing in a profile that nobody translated. */
export type Title = { zh?: string; en?: string };

export interface WirePoint {
  series: number;
  point: string;
  title: Title;
  quantity: string;
  /** UCUM, the canonical unit after conversion. */
  unit: string;
  kind: "number" | "text";
  /** The longest time between two reports that is still normal. */
  period_s: number;
  value: Value;
  /** null: never seen. */
  at: number | null;
  quality: QualityWord | null;
  reason: string;
}

export interface WireDevice {
  device: string;
  code: string | null;
  title: Title;
  domain: string;
  profile: string;
  version: string;
  gateway: string;
  origin: string;
  points: WirePoint[];
}

export interface DevicesBody {
  now: number;
  devices: WireDevice[];
}

/** series, value, at, quality, reason */
export type Row = [number, Value, number | null, QualityWord | null, string];

export interface RowsBody {
  now: number;
  rows: Row[];
}

export interface WireGap {
  begin: number;
  end: number;
  reason: string;
  /** null: nobody knows how many. */
  readings: number | null;
}

export interface HistoryBody {
  series: number;
  unit: string;
  at: number[];
  value: Value[];
  quality: QualityWord[];
  reason: string[];
  gaps: WireGap[];
  more: boolean;
}

export type Counts = Record<string, number>;

/** Counts of readings; the arithmetic is written in device_profiles/ledger.py. */
export interface Ledger {
  polled: number;
  good: number;
  uncertain: number;
  bad: Counts;
  unchanged: number;
  pending: number;
  discarded: Counts;
  handed: number;
  refused: Counts;
  spooled: number;
  stored: number;
  duplicate: number;
  rejected: Counts;
  given_up: Counts;
  waiting: number;
}

export interface Intake {
  arrived: number;
  stored: number;
  duplicate: number;
  rejected: Counts;
  later: Counts;
  malformed: Counts;
}

export interface GatewayState {
  gateway: string;
  online: boolean;
  at: number;
  ledger: Ledger;
}

export interface LedgerBody {
  now: number;
  intake: Intake;
  gateways: GatewayState[];
  total: Ledger;
  /** Empty: every identity holds. */
  differences: string[];
}

/** RFC 9457. */
export interface ProblemBody {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
}
