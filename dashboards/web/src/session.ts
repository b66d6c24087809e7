/** Keeps the model in step with the server: first the list, then the stream, then whatever changed in between. */

import * as api from "./api";
import type { Model } from "./model";
import { follow, type Follower } from "./stream";
import type { ServerEvent } from "./sse";
import type { LedgerBody, RowsBody } from "./wire";

/** Latest values are read whole this often, so that nothing missed stays wrong. */
const REFRESH_MS = 60_000;
/** A restart of ingest announces many changed lists in a row. */
const LIST_SETTLES_MS = 300;
const LIST_RETRY_MS = 3_000;

export function startSession(model: Model, signal: AbortSignal): Promise<void> {
  every(1000, signal, () => model.tick());
  every(REFRESH_MS, signal, () => void (model.cut || refresh(model, signal).catch(() => undefined)));
  return follow("/api/v1/changes", new Keeper(model), signal);
}

function every(ms: number, signal: AbortSignal, run: () => void): void {
  const timer = setInterval(run, ms);
  signal.addEventListener("abort", () => clearInterval(timer));
}

async function refresh(model: Model, signal: AbortSignal): Promise<void> {
  const generation = model.beginSnapshot();
  model.snapshot(await api.latest(signal), generation);
}

class Keeper implements Follower {
  private signal: AbortSignal | undefined;
  private listTimer: ReturnType<typeof setTimeout> | undefined;
  constructor(private readonly model: Model) {}

  async prepare(signal: AbortSignal): Promise<void> {
    this.signal = signal;
    const [devices, ledger] = await Promise.all([api.devices(signal), api.ledger(signal)]);
    this.model.setDevices(devices);
    this.model.setLedger(ledger);
  }

  async opened(signal: AbortSignal): Promise<void> {
    await refresh(this.model, signal);
    this.model.setConnection({ kind: "live" });
  }

  event({ event, data }: ServerEvent): void {
    if (event === "readings") this.model.rows(JSON.parse(data) as RowsBody);
    else if (event === "ledger") this.model.setLedger(JSON.parse(data) as LedgerBody);
    else if (event === "devices") this.relist();
    else if (event === "skipped") this.skipped((JSON.parse(data) as { rows: number }).rows);
  }

  cut(trouble: api.Trouble): void {
    clearTimeout(this.listTimer);
    this.model.setConnection({ kind: "cut", since: this.model.heard, trouble });
  }

  private relist(afterMs = LIST_SETTLES_MS): void {
    clearTimeout(this.listTimer);
    const signal = this.signal;
    this.listTimer = setTimeout(() => {
      if (signal && !signal.aborted) void this.reload(signal).catch(() => this.relist(LIST_RETRY_MS));
    }, afterMs);
  }

  private async reload(signal: AbortSignal): Promise<void> {
    this.model.setDevices(await api.devices(signal));
    await refresh(this.model, signal);
  }

  private skipped(rows: number): void {
    this.model.notice(rows);
    if (this.signal) void refresh(this.model, this.signal).catch(() => undefined);
  }
}
