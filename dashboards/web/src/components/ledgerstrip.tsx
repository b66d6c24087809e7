/** The ledger: one sentence that is green, amber or red, and every count behind it one click away. */

import { centreAccounts, poleAccounts, sentence, toneOf, type Account } from "../accounts";
import { formatCount, formatTime } from "../format";
import { reasonText } from "../reasons";
import type { LedgerBody } from "../wire";
import { usePage, useTopics } from "./context";

export function LedgerStrip() {
  const { model, t, address } = usePage();
  useTopics("ledger", "link");
  const body = model.ledger;
  const held = model.connection.kind === "cut";
  const tone = toneOf(body);
  return (
    <section class={`ledger is-${held && tone !== "wrong" ? "held" : tone}`} aria-label={t("ledger")}>
      <details>
        <summary>
          <span class="title">{t("ledger")}</span>
          <span class="sentence">{sentence(body, address.lang)}</span>
          {held && body ? <span class="held">{t("ledgerHeld", { time: formatTime(body.now) })}</span> : null}
          <span class="more">{t("ledgerDetails")}</span>
        </summary>
        {body ? <Books body={body} /> : null}
      </details>
      {body?.differences.length ? <Differences lines={body.differences} /> : null}
    </section>
  );
}

function Differences({ lines }: { lines: string[] }) {
  const { t } = usePage();
  return (
    <div class="differences" role="alert">
      <strong>{t("differences")}</strong>
      <ul>
        {lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </div>
  );
}

function Books({ body }: { body: LedgerBody }) {
  const { t } = usePage();
  return (
    <div class="books">
      <Book title={t("poleSide")} accounts={poleAccounts(body)} />
      <Book title={t("centreSide")} accounts={centreAccounts(body)} />
      <p class="muted">{t("readingsUnit")}</p>
    </div>
  );
}

function Book({ title, accounts }: { title: string; accounts: Account[] }) {
  const { t, address } = usePage();
  return (
    <table>
      <caption>{title}</caption>
      <tbody>
        {accounts.map(({ key, count, reasons, grave }) => (
          <tr key={key} class={count ? (grave ? "grave" : "") : "none"}>
            <th scope="row">{t(key)}</th>
            <td class="number">{formatCount(count, address.lang)}</td>
            <td class="reasons">
              {Object.entries(reasons)
                .sort(([, a], [, b]) => b - a)
                .map(([word, n]) => `${reasonText(word, address.lang)} ${formatCount(n, address.lang)}`)
                .join(address.lang === "zh" ? "，" : ", ")}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
