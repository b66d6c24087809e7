/** One uPlot canvas: the line, shaded gaps, marks for readings without a value. Draws what it is given; asks nobody. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatNumber, formatTime } from "./format";
import type { Columns } from "./history";
import type { Lang } from "./i18n";
import type { WireGap } from "./wire";

const HEIGHT = 280;
const BAD_TICK = 9;
/** Seconds between two ticks: what people count in. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400];
const FONT = "12px system-ui, 'Noto Sans CJK SC', sans-serif";

export interface Frame {
  columns: Columns;
  gaps: WireGap[];
  /** µs of the server's clock: the window, whether anything lies in it or not. */
  from: number;
  to: number;
}

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  private readonly plot: uPlot;
  private readonly watch: ResizeObserver;
  private frame: Frame = { columns: { x: [], line: [], uncertain: [], bad: [], breaks: 0 }, gaps: [], from: 0, to: 1e6 };

  /** `hovered` gets the index of the sample under the cursor, or null. */
  constructor(box: HTMLElement, lang: Lang, hovered: (index: number | null) => void) {
    this.plot = new uPlot(this.options(box.clientWidth, lang, hovered), [[], [], []], box);
    this.watch = new ResizeObserver(() => this.plot.setSize({ width: box.clientWidth, height: HEIGHT }));
    this.watch.observe(box);
  }

  draw(frame: Frame): void {
    this.frame = frame;
    const { x, line, uncertain } = frame.columns;
    this.plot.batch(() => {
      this.plot.setData([x, line, uncertain], false);
      this.plot.setScale("x", { min: frame.from / 1e6, max: frame.to / 1e6 });
    });
  }

  close(): void {
    this.watch.disconnect();
    this.plot.destroy();
  }

  private options(width: number, lang: Lang, hovered: (index: number | null) => void): uPlot.Options {
    const axis = { stroke: colour("--muted"), font: FONT, grid: { stroke: colour("--grid"), width: 1 } };
    const ticks = { stroke: colour("--grid"), width: 1, size: 5 };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { auto: true } },
      axes: [
        { ...axis, ticks, values: (_, splits) => timeLabels(splits), space: 60, incrs: STEPS },
        { ...axis, ticks, values: (_, splits) => splits.map((v) => formatNumber(v, lang)), size: axisWidth },
      ],
      series: [
        {},
        { stroke: colour("--line"), width: 1.75, spanGaps: false },
        { stroke: colour("--uncertain"), paths: () => null, points: { show: true, size: 7, fill: colour("--uncertain") } },
      ],
      hooks: {
        drawClear: [(plot) => this.shade(plot)],
        draw: [(plot) => this.markBad(plot)],
        setCursor: [(plot) => hovered(plot.cursor.idx ?? null)],
      },
    };
  }

  private shade(plot: uPlot): void {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = colour("--gap");
    for (const gap of this.frame.gaps) {
      const left = Math.max(plot.valToPos(gap.begin / 1e6, "x", true), bbox.left);
      const right = Math.min(plot.valToPos(gap.end / 1e6, "x", true), bbox.left + bbox.width);
      if (right >= left) ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
    }
    ctx.restore();
  }

  private markBad(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const tick = BAD_TICK * devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = colour("--bad");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.beginPath();
    for (const sample of this.frame.columns.bad) {
      const x = Math.round(plot.valToPos(sample.at / 1e6, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x, bbox.top + bbox.height - tick);
    }
    ctx.stroke();
    ctx.restore();
  }
}

/** Seconds only where the ticks are that close; a date where a day begins. */
function timeLabels(splits: number[]): string[] {
  const step = (splits[1] ?? 0) - (splits[0] ?? 0);
  return splits.map((s) => {
    const time = formatTime(s * 1e6);
    if (time === "00:00:00") return new Date(s * 1000).toLocaleDateString("sv").slice(5);
    return step < 60 ? time : time.slice(0, 5);
  });
}

function axisWidth(_: uPlot, values: string[] | null): number {
  const longest = Math.max(0, ...(values ?? []).map((text) => text.length));
  return Math.max(44, 18 + longest * 7.5);
}
