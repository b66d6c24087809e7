/** The samples of one point in a moving window: read from history, followed on the stream, read again after a cut. */

import { historyPage, Trouble } from "./api";
import { RANGES, type RangeName } from "./address";
import { MAX_SAMPLES, merge, sampleOfRow, samplesOf, type Sample } from "./history";
import type { Model } from "./model";
import type { Row, WireGap } from "./wire";

const PAGE_LIMIT = 20_000;
/** Ends a server that always says "more"; MAX_SAMPLES fit in five. */
const MAX_PAGES = 24;
/** Backlog and gaps arrive behind the stream's back: look again. Longer windows cost more to read. */
const REREAD_MS: Record<RangeName, number> = { "10m": 15_000, "1h": 30_000, "24h": 300_000 };

export class Feed {
  samples: Sample[] = [];
  gaps: WireGap[] = [];
  phase: "loading" | "ready" | "failed" = "loading";
  detail = "";
  readonly rangeUs: number;
  private readonly abort = new AbortController();
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly undo: (() => void)[] = [];
  private wasCut: boolean;
  /** What the stream brought while history was being read: the answer may be older than it. */
  private arrived: Sample[] = [];
  private loads = 0;

  constructor(
    private readonly model: Model,
    private readonly series: number,
    range: RangeName,
    private readonly changed: () => void,
  ) {
    this.rangeUs = RANGES[range] * 1e6;
    this.wasCut = model.cut;
    const onRows = (rows: Row[]): void => this.append(rows);
    model.onRows.add(onRows);
    this.undo.push(() => model.onRows.delete(onRows));
    this.undo.push(model.subscribe("link", () => this.linked()));
    this.timer = setInterval(() => void (model.cut || this.load()), REREAD_MS[range]);
    void this.load();
  }

  close(): void {
    clearInterval(this.timer);
    this.abort.abort();
    for (const undo of this.undo) undo();
  }

  get truncated(): boolean {
    return this.samples.length >= MAX_SAMPLES;
  }

  private linked(): void {
    if (this.wasCut && !this.model.cut) void this.load();
    this.wasCut = this.model.cut;
  }

  private append(rows: Row[]): void {
    const mine = rows.filter((row) => row[0] === this.series).map(sampleOfRow).filter((s) => s !== null);
    if (this.loads) this.arrived.push(...mine);
    if (!mine.length || this.phase === "loading") return;
    const lastAt = this.samples.at(-1)?.at ?? 0;
    const fresh = mine.filter((sample) => sample.at > lastAt).sort((a, b) => a.at - b.at);
    if (!fresh.length) return;
    this.samples = merge(this.samples, fresh, this.model.clock.now() - this.rangeUs);
    this.changed();
  }

  private async load(): Promise<void> {
    const to = this.model.clock.now();
    this.loads++;
    try {
      const { samples, gaps } = await this.pages(to - this.rangeUs, to);
      const after = [...this.samples.filter((sample) => sample.at > to), ...this.arrived];
      const newer = [...new Map(after.map((sample) => [sample.at, sample])).values()].sort((a, b) => a.at - b.at);
      this.samples = merge(samples, newer, to - this.rangeUs);
      this.gaps = gaps;
      this.phase = "ready";
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.detail = error instanceof Trouble ? error.detail : String(error);
      if (this.phase === "loading") this.phase = "failed";
    } finally {
      if (--this.loads === 0) this.arrived = [];
    }
    this.changed();
  }

  private async pages(from: number, to: number): Promise<{ samples: Sample[]; gaps: WireGap[] }> {
    let samples: Sample[] = [];
    const gaps = new Map<string, WireGap>();
    for (let page = 0; page < MAX_PAGES; page++) {
      const body = await historyPage(this.series, from, to, PAGE_LIMIT, this.abort.signal);
      samples = merge(samples, samplesOf(body), 0);
      for (const gap of body.gaps) gaps.set(`${gap.begin} ${gap.end} ${gap.reason}`, gap);
      const last = body.at.at(-1);
      if (!body.more || last === undefined) break;
      from = last + 1;
    }
    return { samples, gaps: [...gaps.values()].sort((a, b) => a.begin - b.begin) };
  }
}
