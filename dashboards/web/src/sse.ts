/**
 * Reads server-sent events out of text that arrives in arbitrary pieces (WHATWG HTML, 9.2.6).
 *
 * We read the stream with fetch and not with EventSource, because EventSource hides the heartbeat comments (so that a
 * stalled stream looks alive) and the problem body of a refusal. Refuses to remember an endless line.
 */

export interface ServerEvent {
  event: string;
  data: string;
}

/** An event may carry a whole ledger or a pack of rows; more than this is a fault of the sender. */
const MAX_PENDING = 8 * 1024 * 1024;

export class EventReader {
  private pending = "";
  private event = "";
  private data: string[] = [];

  /** Take the next piece of text; the events that it completes come back in order. */
  feed(text: string): ServerEvent[] {
    this.pending += text;
    const events: ServerEvent[] = [];
    for (;;) {
      const end = this.pending.search(/\r\n|\n|\r(?=[^])/);
      if (end < 0) break;
      const line = this.pending.slice(0, end);
      this.pending = this.pending.slice(end + (this.pending.startsWith("\r\n", end) ? 2 : 1));
      const done = this.line(line);
      if (done) events.push(done);
    }
    if (this.pending.length > MAX_PENDING) throw new Error("a line of the stream is too long");
    return events;
  }

  private line(line: string): ServerEvent | null {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.event = value;
    if (field === "data") this.data.push(value);
    return null;
  }

  private dispatch(): ServerEvent | null {
    const done = this.data.length ? { event: this.event || "message", data: this.data.join("\n") } : null;
    this.event = "";
    this.data = [];
    return done;
  }
}
