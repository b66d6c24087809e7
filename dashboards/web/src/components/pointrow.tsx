/** One point: name, value with unit, age; and, unless all is well, the state in a word with its reason. */

import { displayOf } from "../display";
import { formatAge, formatTime } from "../format";
import { titleOf } from "../i18n";
import type { Point } from "../model";
import { periodUs } from "../staleness";
import { humanUnit } from "../units";
import { usePage, useTopics } from "./context";
import { StateIcon } from "./icon";

export function PointRow({ point }: { point: Point }) {
  const { model, t, address, go } = usePage();
  const { meta, at, state } = point;
  useTopics(meta.series);
  const { lang, show } = address;
  const shows = displayOf(point, at, lang);
  const now = model.clock.now();
  const word = t(state);
  const overdue = state === "late" || state === "silent";
  const due = overdue ? t("expected", { age: formatAge(periodUs(meta.period_s), lang) }) : "";
  const reasons = [due, shows.why].filter((text) => text && text !== word).join(lang === "zh" ? "；" : "; ");
  const why = reasons && (lang === "zh" ? `：${reasons}` : `: ${reasons}`);
  return (
    <li hidden={show !== "all" && show !== state}>
      <button
        type="button"
        class={`point is-${state}`}
        data-series={meta.series}
        data-state={state}
        aria-pressed={address.series === meta.series}
        title={at === null ? word : `${word}${why} · ${formatTime(at, now)}`}
        onClick={() => go({ series: address.series === meta.series ? null : meta.series })}
      >
        <StateIcon state={state} />
        <span class="name">{titleOf(meta.title, meta.point, lang)}</span>
        <span class="value">
          {shows.text}
          {shows.hasValue && humanUnit(meta.unit) ? <span class="unit"> {humanUnit(meta.unit)}</span> : null}
        </span>
        <span class="age">{at === null ? "" : formatAge(now - at, lang)}</span>
        {state === "fresh" ? <span class="unseen">{word}</span> : null}
        {state === "fresh" ? null : (
          <span class="why">
            <b>{word}</b>
            {why}
          </span>
        )}
      </button>
    </li>
  );
}
