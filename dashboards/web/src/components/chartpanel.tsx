/** The chart of the chosen point: range, readout under the cursor, the canvas, declared gaps and readings as text. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { RANGES, type RangeName } from "../address";
import { Chart } from "../chart";
import { displayOf } from "../display";
import { Feed } from "../feed";
import { formatCount, formatNumber, formatTime } from "../format";
import { columnsOf, MAX_SAMPLES, summaryOf, type Columns, type Sample } from "../history";
import { titleOf } from "../i18n";
import type { Device, Point } from "../model";
import { humanUnit } from "../units";
import { usePage, useTopics } from "./context";
import { GapList, Readings } from "./chartlists";

const RANGE_KEYS = { "10m": "range10m", "1h": "range1h", "24h": "range24h" } as const;

export function ChartPanel() {
  const { model, address } = usePage();
  useTopics("list");
  const point = address.series === null ? undefined : model.point(address.series);
  const device = address.series === null ? undefined : model.deviceOf(address.series);
  if (!point || !device) return null;
  return <Panel key={`${point.meta.series} ${address.range}`} point={point} device={device} />;
}

function Panel({ point, device }: { point: Point; device: Device }) {
  const { t, address, go } = usePage();
  const heading = useRef<HTMLHeadingElement>(null);
  const series = point.meta.series;
  useEffect(() => heading.current?.focus({ preventScroll: true }), [series]);
  const close = (): void => {
    go({ series: null });
    document.querySelector<HTMLElement>(`[data-series="${series}"]`)?.focus();
  };
  const { lang } = address;
  const unit = humanUnit(point.meta.unit);
  return (
    <aside class="panel" aria-label={t("chartOf")} onKeyDown={(event) => event.key === "Escape" && close()}>
      <header>
        <h2 ref={heading} tabIndex={-1}>
          {titleOf(point.meta.title, point.meta.point, lang)} {unit ? <span class="muted">{unit}</span> : null}
        </h2>
        <button type="button" class="close" onClick={close} aria-label={t("close")}>
          ×
        </button>
        <p class="muted">
          {titleOf(device.wire.title, device.wire.device, lang)} · {device.wire.gateway}
        </p>
      </header>
      <RangeChoice />
      <History point={point} />
    </aside>
  );
}

function RangeChoice() {
  const { t, address, go } = usePage();
  return (
    <div class="ranges" role="group" aria-label={t("rangeLabel")}>
      {(Object.keys(RANGES) as RangeName[]).map((range) => (
        <button type="button" key={range} aria-pressed={address.range === range} onClick={() => go({ range })}>
          {t(RANGE_KEYS[range])}
        </button>
      ))}
    </div>
  );
}

function History({ point }: { point: Point }) {
  const { model, t, address } = usePage();
  const [, changed] = useState(0);
  const feed = useRef<Feed | null>(null);
  useTopics("clock");
  useEffect(() => {
    const mine = new Feed(model, point.meta.series, address.range, () => changed((n) => n + 1));
    feed.current = mine;
    return () => mine.close();
  }, []);
  const { samples = [], gaps = [], phase = "loading", detail = "", truncated = false } = feed.current ?? {};
  const columns = useMemo(() => columnsOf(samples, gaps, point.meta.period_s), [samples, gaps]);
  const to = model.clock.now();
  const from = to - RANGES[address.range] * 1e6;
  const inside = gaps.filter((gap) => gap.end >= from);
  return (
    <>
      {phase === "loading" ? <p class="muted">{t("chartLoading")}</p> : null}
      {phase === "failed" ? <p class="failed">{t("chartFailed", { detail })}</p> : null}
      {phase === "ready" && !samples.length ? <p class="muted">{t("chartEmpty")}</p> : null}
      {truncated ? <p class="muted">{t("chartTruncated", { n: formatCount(MAX_SAMPLES, address.lang) })}</p> : null}
      {point.meta.kind === "number" ? (
        <Canvas samples={samples} columns={columns} gaps={inside} from={from} to={to} unit={point.meta.unit} />
      ) : null}
      <GapList gaps={inside} />
      <Readings samples={samples} unit={humanUnit(point.meta.unit)} open={point.meta.kind === "text"} />
    </>
  );
}

interface CanvasProps {
  samples: Sample[];
  columns: Columns;
  gaps: Feed["gaps"];
  from: number;
  to: number;
  unit: string;
}

function Canvas({ samples, columns, gaps, from, to, unit }: CanvasProps) {
  const { t, address } = usePage();
  const { lang } = address;
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const [hovered, hover] = useState<number | null>(null);
  const dark = useDarkness();
  useEffect(() => {
    if (!box.current) return;
    chart.current = new Chart(box.current, lang, hover);
    return () => chart.current?.close();
  }, [lang, dark]);
  useEffect(() => chart.current?.draw({ columns, gaps, from, to }), [columns, gaps, from, to, lang, dark]);
  const summary = useMemo(() => summaryOf(columns), [columns]);
  const figure = (value: number | null): string => (value === null ? "—" : formatNumber(value, lang));
  const label = t("chartSummary", {
    n: formatCount(summary.n, lang),
    min: figure(summary.min),
    max: figure(summary.max),
    bad: formatCount(columns.bad.length, lang),
    breaks: columns.breaks,
  });
  return (
    <>
      <p class="readout">{readout(samples, columns, hovered, to, lang, humanUnit(unit))}</p>
      <div class="chart" ref={box} role="img" aria-label={label} data-breaks={columns.breaks} />
      <p class="muted summary">{label}</p>
      <p class="marks">
        <span class="mark is-gap">{t("gapMark")}</span>
        <span class="mark is-bad">{t("badMark")}</span>
        <span class="mark is-uncertain">{t("uncertainMark")}</span>
      </p>
    </>
  );
}

/** The reading under the cursor, else the latest one. */
function readout(
  samples: Sample[],
  columns: Columns,
  hovered: number | null,
  now: number,
  lang: "zh" | "en",
  unit: string,
): string {
  const at = hovered === null ? undefined : Math.round((columns.x[hovered] ?? 0) * 1e6);
  const sample = at === undefined ? samples.at(-1) : samples.find((one) => Math.abs(one.at - at) < 2);
  if (!sample) return "\u00a0";
  const shows = displayOf(sample, sample.at, lang);
  const parts = [formatTime(sample.at, now), shows.text + (shows.hasValue && unit ? ` ${unit}` : ""), shows.why];
  return parts.filter(Boolean).join("  ");
}

/** The canvas takes its colours when it is made: it must be made again when the theme changes. */
function useDarkness(): boolean {
  const query = useMemo(() => matchMedia("(prefers-color-scheme: dark)"), []);
  const [dark, set] = useState(query.matches);
  useEffect(() => {
    const changed = (): void => set(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query]);
  return dark;
}
