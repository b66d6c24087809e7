/**
 * Follows the live stream for as long as the page is open: connects, notices silence, says so, tries again.
 *
 * It is never "live" on trust: a heartbeat is due every 10 s, and a stream without a byte for QUIET_MS counts as cut.
 */

import { Trouble, troubleOf } from "./api";
import { EventReader, type ServerEvent } from "./sse";

/** One and a half of the API's heartbeat period (10 s). */
const QUIET_MS = 15_000;
const FIRST_WAIT_MS = 500;
/** People look at a dead page for seconds, not minutes. */
const LONGEST_WAIT_MS = 8_000;

export interface Follower {
  /** Before each attempt: load what the stream adds to. A Trouble thrown here counts as a cut. */
  prepare(signal: AbortSignal): Promise<void>;
  /** The stream is open: whatever changed meanwhile must be fetched now. */
  opened(signal: AbortSignal): Promise<void>;
  event(event: ServerEvent): void;
  cut(trouble: Trouble, retryInMs: number): void;
}

/** Follow until the signal aborts; never throws. */
export async function follow(path: string, follower: Follower, signal: AbortSignal): Promise<void> {
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    const started = performance.now();
    const trouble = await attempt(path, follower, signal);
    if (signal.aborted) return;
    wait = performance.now() - started > QUIET_MS ? FIRST_WAIT_MS : Math.min(wait * 2, LONGEST_WAIT_MS);
    const jittered = wait * (0.5 + Math.random() / 2);
    follower.cut(trouble, jittered);
    await pause(jittered, signal);
  }
}

/** One connection from beginning to end; comes back with why it ended. */
async function attempt(path: string, follower: Follower, outer: AbortSignal): Promise<Trouble> {
  const abort = new AbortController();
  const signal = AbortSignal.any([outer, abort.signal]);
  const watchdog = new Watchdog(() => abort.abort(new Trouble("quiet", `${QUIET_MS / 1000} s`)));
  try {
    await follower.prepare(signal);
    watchdog.fed();
    const response = await fetch(path, { signal, cache: "no-store", headers: { accept: "text/event-stream" } });
    if (!response.ok || !response.body) return await troubleOf(response);
    watchdog.fed();
    await Promise.all([follower.opened(signal), read(response.body, follower, watchdog)]);
    return new Trouble("ended", "");
  } catch (error) {
    const reason: unknown = abort.signal.aborted ? abort.signal.reason : error;
    return reason instanceof Trouble ? reason : new Trouble("page-server", String(reason));
  } finally {
    watchdog.stop();
    abort.abort();
  }
}

async function read(body: ReadableStream<Uint8Array>, follower: Follower, watchdog: Watchdog): Promise<void> {
  const reader = body.getReader();
  const text = new TextDecoder();
  const events = new EventReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Trouble("ended", "");
    watchdog.fed();
    for (const event of events.feed(text.decode(value, { stream: true }))) follower.event(event);
  }
}

class Watchdog {
  private timer: ReturnType<typeof setTimeout> | undefined;
  constructor(private readonly bite: () => void) {}

  fed(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.bite, QUIET_MS);
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

/** Wait, but not longer than until the network or the tab comes back. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const woken = new AbortController();
    const done = (): void => {
      clearTimeout(timer);
      woken.abort();
      resolve();
    };
    const timer = setTimeout(done, ms);
    window.addEventListener("online", done, { signal: woken.signal });
    document.addEventListener("visibilitychange", () => !document.hidden && done(), { signal: woken.signal });
    signal.addEventListener("abort", done, { signal: woken.signal });
  });
}
