/** The top of the page: which page, whether it is alive, whose time it shows, the other language. */

import { formatTime } from "../format";
import { usePage, useTopics } from "./context";
import type { Key } from "../i18n";
import type { Connection } from "../model";

export const TROUBLES: Record<string, Key> = {
  ingest: "troubleIngest",
  "page-server": "troublePageServer",
  refused: "troubleRefused",
  quiet: "troubleQuiet",
  ended: "troubleEnded",
};

export function Header() {
  const { t, address, go } = usePage();
  const other = address.lang === "zh" ? "en" : "zh";
  return (
    <header class="top">
      <h1>
        <span class="brand">{t("name")}</span> <span class="subtitle">{t("subtitle")}</span>
      </h1>
      <Link />
      <ServerTime />
      <a
        class="language"
        href={`?lang=${other}`}
        hreflang={other}
        lang={other}
        onClick={(event) => {
          event.preventDefault();
          go({ lang: other });
        }}
      >
        {t("otherLanguage")}
      </a>
    </header>
  );
}

function Link() {
  const { model, t } = usePage();
  useTopics("link");
  const kind = model.connection.kind;
  return (
    <p class={`link is-${kind}`} role="status">
      <span class="lamp" aria-hidden="true" />
      {t(kind)}
    </p>
  );
}

function ServerTime() {
  const { model, t } = usePage();
  useTopics("clock");
  const now = model.clock.now();
  if (!now) return null;
  return (
    <p class="servertime">
      <span>{t("serverTime")}</span> <time>{formatTime(now)}</time>
    </p>
  );
}

/** Says across the whole page that the stream is cut, since when and why. */
export function Banner() {
  const { model, t } = usePage();
  useTopics("link", "notice");
  const { connection, skipped } = model;
  if (connection.kind === "cut") return <CutBanner connection={connection} />;
  if (!skipped) return null;
  return (
    <p class="banner is-notice" role="status">
      {t("skipped", { n: skipped })}
      <button type="button" onClick={() => model.notice(0)}>
        {t("close")}
      </button>
    </p>
  );
}

function CutBanner({ connection }: { connection: Extract<Connection, { kind: "cut" }> }) {
  const { model, t } = usePage();
  const { trouble, since } = connection;
  const why = t(TROUBLES[trouble.kind] ?? "troubleRefused", { detail: trouble.detail });
  return (
    <div class="banner is-cut" role="alert">
      <p>
        <strong>{model.devices ? t("cutBanner", { time: formatTime(since) }) : t("cut")}</strong>
      </p>
      <p>
        {why}
        {trouble.kind !== "quiet" && trouble.detail ? <span class="detail"> ({trouble.detail})</span> : null} · {t("cutRetry")}
      </p>
    </div>
  );
}
