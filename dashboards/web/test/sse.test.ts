import { expect, test } from "vitest";
import { EventReader, type ServerEvent } from "../src/sse";

const STREAM = ': kuimen\n\nevent: readings\ndata: {"a":1}\n\nevent: ledger\r\ndata: x\r\ndata:y\r\n\r\n: alive\n\ndata: plain\n\n';
const EVENTS: ServerEvent[] = [
  { event: "readings", data: '{"a":1}' },
  { event: "ledger", data: "x\ny" },
  { event: "message", data: "plain" },
];

test("whole, one character at a time, and cut anywhere: the same events", () => {
  expect(new EventReader().feed(STREAM)).toEqual(EVENTS);
  const slow = new EventReader();
  expect([...STREAM].flatMap((letter) => slow.feed(letter))).toEqual(EVENTS);
  for (let cut = 0; cut < STREAM.length; cut++) {
    const reader = new EventReader();
    expect([...reader.feed(STREAM.slice(0, cut)), ...reader.feed(STREAM.slice(cut))]).toEqual(EVENTS);
  }
});

test("an endless line is refused", () => {
  const reader = new EventReader();
  expect(() => {
    for (let i = 0; i < 10; i++) reader.feed("x".repeat(1024 * 1024));
  }).toThrow();
});
