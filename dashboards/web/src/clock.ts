/**
 * The server's time, carried forward between two answers. The browser's clock is never shown and never compared with a
 * reading: an operator's PC may be an hour off.
 *
 * Two clocks carry it forward and the faster one wins: performance.now() stops while a laptop sleeps, Date.now() steps
 * when somebody sets it. Either error makes values look older, never fresher, and the next answer heals it.
 */

/** A stream sample may be late (it queued behind others), so only the best of a window may move the clock back. */
const WINDOW_MS = 30_000;

export interface Ticks {
  monotonicMs(): number;
  wallMs(): number;
}

export const browserTicks: Ticks = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

export class ServerClock {
  private base = 0;
  private monotonic = 0;
  private wall = 0;
  private known = false;
  private window = { since: 0, leastLag: Infinity };

  constructor(private readonly ticks: Ticks = browserTicks) {}

  /** Server time in µs; 0 as long as no answer has told it. */
  now(): number {
    if (!this.known) return 0;
    const elapsed = Math.max(this.ticks.monotonicMs() - this.monotonic, this.ticks.wallMs() - this.wall, 0);
    return this.base + Math.round(elapsed * 1000);
  }

  /** An answer that we just asked for: believed at once. */
  set(now: number): void {
    this.base = now;
    this.monotonic = this.ticks.monotonicMs();
    this.wall = this.ticks.wallMs();
    this.known = true;
    this.window = { since: this.monotonic, leastLag: Infinity };
  }

  /** A sample from the stream: forward at once, back only when a whole window agrees. */
  take(now: number): void {
    const lag = this.now() - now;
    if (!this.known || lag <= 0) return this.set(now);
    this.window.leastLag = Math.min(this.window.leastLag, lag);
    if (this.ticks.monotonicMs() - this.window.since < WINDOW_MS) return;
    this.set(this.now() - this.window.leastLag);
  }
}
