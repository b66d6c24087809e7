/** Asks the API and gives back a body or a `Trouble` that can be shown; never a half-read answer. */

import type { DevicesBody, HistoryBody, LedgerBody, ProblemBody, RowsBody } from "./wire";

/** Why an answer did not come: `kind` chooses the words, `detail` is what the server said about it. */
export class Trouble extends Error {
  constructor(
    readonly kind: "page-server" | "ingest" | "refused" | "quiet" | "ended",
    readonly detail: string,
  ) {
    super(`${kind}: ${detail}`);
  }
}

/** A whole answer is due within this: more than the relay allows ingest (30 s) would never be seen. */
const ANSWER_WITHIN_MS = 30_000;

/** Turn a refusal into a Trouble: 502 and 504 mean that the relay lives and ingest does not. */
export async function troubleOf(response: Response): Promise<Trouble> {
  const kind = response.status === 502 || response.status === 504 ? "ingest" : "refused";
  let detail = `HTTP ${response.status}`;
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    const problem = (await response.json().catch(() => ({}))) as ProblemBody;
    detail = problem.detail ?? problem.title ?? detail;
  }
  return new Trouble(kind, detail);
}

async function ask<Body>(path: string, signal?: AbortSignal): Promise<Body> {
  const limit = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const either = signal ? AbortSignal.any([signal, limit]) : limit;
  let response: Response;
  try {
    response = await fetch(path, { signal: either, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Trouble("page-server", String(error));
  }
  if (!response.ok) throw await troubleOf(response);
  try {
    return (await response.json()) as Body;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Trouble("refused", `${path}: ${String(error)}`);
  }
}

export const devices = (signal?: AbortSignal) => ask<DevicesBody>("/api/v1/devices", signal);
export const latest = (signal?: AbortSignal) => ask<RowsBody>("/api/v1/latest", signal);
export const ledger = (signal?: AbortSignal) => ask<LedgerBody>("/api/v1/ledger", signal);

/** One page of a point's history, `from` inclusive, both in µs. */
export function historyPage(series: number, from: number, to: number, limit: number, signal?: AbortSignal) {
  const query = new URLSearchParams({
    series: String(series),
    from: String(Math.floor(from)),
    to: String(Math.ceil(to)),
    limit: String(limit),
  });
  return ask<HistoryBody>(`/api/v1/history?${query}`, signal);
}
