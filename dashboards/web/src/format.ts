/** Numbers, ages and times as an operator reads them: never more digits than a float32 register holds. */

import type { Lang } from "./i18n";

const SIGNIFICANT = 6;
const LOCALES: Record<Lang, string> = { zh: "zh-CN", en: "en-GB" };
const formats = new Map<string, Intl.NumberFormat>();

function numberFormat(lang: Lang, decimals: number): Intl.NumberFormat {
  const key = `${lang}${decimals}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(LOCALES[lang], { maximumFractionDigits: decimals, useGrouping: true });
    formats.set(key, format);
  }
  return format;
}

/** Whole numbers in full; others to six significant digits, so that 25.299999 (a float32) reads 25.3. */
export function formatNumber(value: number, lang: Lang): string {
  if (!Number.isFinite(value)) return "—";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return numberFormat(lang, 0).format(value).replace("-", "−");
  if (size >= 1e15 || (size < 1e-4 && size > 0)) return value.toExponential(3).replace("-", "−");
  const before = Math.floor(Math.log10(size)) + 1;
  const decimals = Math.max(1, SIGNIFICANT - before);
  return numberFormat(lang, decimals).format(value).replace("-", "−");
}

/** How long ago, coarse on purpose: `3 s`, `5 min`, `2 h`, `4 d`. */
export function formatAge(us: number, lang: Lang): string {
  const seconds = Math.max(0, Math.floor(us / 1e6));
  const [n, unit] =
    seconds < 60
      ? [seconds, 0]
      : seconds < 3600
        ? [Math.floor(seconds / 60), 1]
        : seconds < 86400
          ? [Math.floor(seconds / 3600), 2]
          : [Math.floor(seconds / 86400), 3];
  const words = lang === "zh" ? ["秒", "分钟", "小时", "天"] : ["s", "min", "h", "d"];
  return `${n} ${words[unit]}`;
}

const pad = (n: number): string => String(n).padStart(2, "0");

/** Local time of day of the person who looks; with the date when it is another day than `now`. */
export function formatTime(us: number, now = us): string {
  const date = new Date(us / 1000);
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  if (date.toDateString() === new Date(now / 1000).toDateString()) return time;
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${time}`;
}

/** A count with its thousands told apart. */
export function formatCount(n: number, lang: Lang): string {
  return numberFormat(lang, 0).format(n);
}
