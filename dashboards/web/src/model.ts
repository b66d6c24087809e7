/**
 * Everything the page knows, and who wants to hear of it. Changes are announced once per animation frame however many
 * readings came, and only to those who show the changed thing: a thousand points stay smooth.
 */

import type { Trouble } from "./api";
import { ServerClock } from "./clock";
import { stateOf, type State } from "./display";
import { formatAge } from "./format";
import { freshness } from "./staleness";
import type { DevicesBody, LedgerBody, Row, RowsBody, Value, QualityWord, WireDevice, WirePoint } from "./wire";

export interface Point {
  readonly meta: WirePoint;
  value: Value;
  at: number | null;
  quality: QualityWord | null;
  reason: string;
  state: State;
  /** Which reading of the whole list it was last part of; see `snapshot`. */
  generation: number;
}

export interface Device {
  readonly wire: WireDevice;
  readonly points: Point[];
}

export type Connection =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "cut"; since: number; trouble: Trouble };

/** `list`: devices; `link`: connection; `ledger`; `counts`: points by state; `clock`: once a second; a number: one series. */
export type Topic = "list" | "link" | "ledger" | "counts" | "clock" | "notice" | number;

export class Model {
  readonly clock: ServerClock;
  devices: Device[] | null = null;
  connection: Connection = { kind: "connecting" };
  ledger: LedgerBody | null = null;
  /** Server time (µs) at which the server last told us anything; 0: never. */
  heard = 0;
  /** Updates that the server skipped because this page was slow, in the last notice. */
  skipped = 0;
  readonly counts = new Map<State, number>();
  /** Told of every row as it comes; the chart follows its series here. */
  readonly onRows = new Set<(rows: Row[]) => void>();
  private readonly points = new Map<number, Point>();
  private readonly listeners = new Map<Topic, Set<() => void>>();
  private readonly dirty = new Set<Topic>();
  private readonly shown = new Map<number, string>();
  private generation = 0;
  private scheduled = false;

  constructor(
    clock = new ServerClock(),
    private readonly onFrame: (run: () => void) => void = (run) => void requestAnimationFrame(run),
  ) {
    this.clock = clock;
  }

  get cut(): boolean {
    return this.connection.kind !== "live";
  }

  point(series: number): Point | undefined {
    return this.points.get(series);
  }

  deviceOf(series: number): Device | undefined {
    return this.devices?.find((device) => device.points.some((point) => point.meta.series === series));
  }

  subscribe(topic: Topic, listener: () => void): () => void {
    const set = this.listeners.get(topic) ?? new Set();
    this.listeners.set(topic, set.add(listener));
    return () => {
      set.delete(listener);
      if (!set.size) this.listeners.delete(topic);
    };
  }

  announce(topic: Topic): void {
    this.dirty.add(topic);
    if (this.scheduled) return;
    this.scheduled = true;
    this.onFrame(() => this.flush());
  }

  private flush(): void {
    this.scheduled = false;
    const topics = [...this.dirty];
    this.dirty.clear();
    for (const topic of topics) for (const listener of [...(this.listeners.get(topic) ?? [])]) listener();
  }

  setDevices(body: DevicesBody): void {
    this.clock.set(body.now);
    this.heard = body.now;
    this.points.clear();
    this.shown.clear();
    this.devices = body.devices.map((wire) => ({ wire, points: wire.points.map((meta) => this.newPoint(meta)) }));
    this.tick();
    this.announce("list");
  }

  private newPoint(meta: WirePoint): Point {
    const { value, at, quality, reason } = meta;
    const point: Point = { meta, value, at, quality, reason, state: "never", generation: this.generation };
    this.points.set(meta.series, point);
    return point;
  }

  /** Call before asking for the whole list: rows that the stream brings meanwhile will not be undone by it. */
  beginSnapshot(): number {
    return ++this.generation;
  }

  /** The whole list of latest values: replaces what the stream did not touch since `generation` began. */
  snapshot(body: RowsBody, generation: number): void {
    this.clock.set(body.now);
    this.heard = body.now;
    for (const row of body.rows) this.put(row, generation);
    for (const listener of this.onRows) listener(body.rows);
    this.tick();
  }

  /** Rows of the stream, in the order of the server's commits. */
  rows(body: RowsBody): void {
    this.clock.take(body.now);
    this.heard = this.clock.now();
    for (const row of body.rows) this.put(row, -1);
    for (const listener of this.onRows) listener(body.rows);
    this.announce("counts");
  }

  private put([series, value, at, quality, reason]: Row, replaceBefore: number): void {
    const point = this.points.get(series);
    if (!point) return;
    const older = (at ?? 0) < (point.at ?? 0);
    if (older && point.generation >= replaceBefore) return;
    Object.assign(point, { value, at, quality, reason, generation: this.generation });
    this.judge(point, this.clock.now());
    this.announce(series);
  }

  setLedger(body: LedgerBody): void {
    this.clock.take(body.now);
    this.heard = this.clock.now();
    this.ledger = body;
    this.announce("ledger");
  }

  setConnection(connection: Connection): void {
    this.connection = connection;
    this.announce("link");
    this.tick();
  }

  notice(skipped: number): void {
    this.skipped = skipped;
    this.announce("notice");
  }

  /** Once a second: everything ages, and only what reads differently is drawn again. */
  tick(): void {
    const now = this.clock.now();
    for (const [series, point] of this.points) {
      this.judge(point, now);
      const shows = point.state + (point.at === null ? "" : formatAge(now - point.at, "en"));
      if (this.shown.get(series) === shows) continue;
      this.shown.set(series, shows);
      this.announce(series);
    }
    this.announce("counts");
    this.announce("clock");
  }

  private judge(point: Point, now: number): void {
    const before = point.state;
    point.state = stateOf(point, freshness(point.at, now, point.meta.period_s), this.cut);
    if (before !== point.state) this.announce("counts");
  }

  /** Points by state, counted when somebody looks. */
  countStates(): Map<State, number> {
    this.counts.clear();
    for (const { state } of this.points.values()) this.counts.set(state, (this.counts.get(state) ?? 0) + 1);
    return this.counts;
  }
}
