/** What the canvas shows, as text: for a screen reader, and for whoever wants the exact figure. */

import { useState } from "preact/hooks";
import { displayOf } from "../display";
import { formatCount, formatTime } from "../format";
import type { Sample } from "../history";
import { reasonText } from "../reasons";
import type { WireGap } from "../wire";
import { usePage } from "./context";

/** More is a wall of text; the chart shades all of them. */
const GAPS_LISTED = 8;
const READINGS_LISTED = 50;

export function GapList({ gaps }: { gaps: WireGap[] }) {
  const { model, t, address } = usePage();
  if (!gaps.length) return null;
  const { lang } = address;
  const now = model.clock.now();
  const latest = gaps.slice(-GAPS_LISTED).reverse();
  return (
    <section class="gaps">
      <h3>{t("gapsTitle")}</h3>
      <ul>
        {latest.map((gap) => (
          <li key={`${gap.begin} ${gap.end} ${gap.reason}`}>
            {formatTime(gap.begin, now)} – {formatTime(gap.end, now)} · {reasonText(gap.reason, lang)} ·{" "}
            {gap.readings === null ? t("gapUnknown") : t("gapReadings", { n: formatCount(gap.readings, lang) })}
          </li>
        ))}
      </ul>
      {gaps.length > latest.length ? <p class="muted">{t("gapMore", { n: gaps.length - latest.length })}</p> : null}
    </section>
  );
}

export function Readings({ samples, unit, open }: { samples: Sample[]; unit: string; open: boolean }) {
  const { t } = usePage();
  const [shown, show] = useState(open);
  return (
    <details class="readings" open={shown} onToggle={(event) => show(event.currentTarget.open)}>
      <summary>{t("recentReadings")}</summary>
      {shown ? <ReadingTable samples={samples} unit={unit} /> : null}
    </details>
  );
}

function ReadingTable({ samples, unit }: { samples: Sample[]; unit: string }) {
  const { model, t, address } = usePage();
  const now = model.clock.now();
  const latest = samples.slice(-READINGS_LISTED).reverse();
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{t("time")}</th>
          <th scope="col">{t("value")}</th>
          <th scope="col">{t("quality")}</th>
        </tr>
      </thead>
      <tbody>
        {latest.map((sample) => {
          const shows = displayOf(sample, sample.at, address.lang);
          return (
            <tr key={sample.at} class={`is-${sample.quality}`}>
              <td>{formatTime(sample.at, now)}</td>
              <td class="number">{shows.hasValue && unit ? `${shows.text} ${unit}` : shows.text}</td>
              <td>{[t(sample.quality), shows.why].filter((text, i, all) => text && all.indexOf(text) === i).join(" · ")}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
