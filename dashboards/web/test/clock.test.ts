import { expect, test } from "vitest";
import { ServerClock } from "../src/clock";

class Ticks {
  monotonic = 0;
  wall = 1e12;
  monotonicMs = () => this.monotonic;
  wallMs = () => this.wall;
  pass(ms: number) {
    this.monotonic += ms;
    this.wall += ms;
  }
}

test("knows no time before the server told one", () => {
  expect(new ServerClock(new Ticks()).now()).toBe(0);
});

test("carries the server's time forward, whatever the browser's clock says", () => {
  const ticks = new Ticks();
  const clock = new ServerClock(ticks);
  clock.set(5_000_000);
  ticks.pass(1500);
  expect(clock.now()).toBe(6_500_000);
});

test("a sleep that stops one of the two clocks still ages the page", () => {
  const ticks = new Ticks();
  const clock = new ServerClock(ticks);
  clock.set(0);
  ticks.wall += 60_000;
  expect(clock.now()).toBe(60_000_000);
});

test("a browser clock set back does not make values younger", () => {
  const ticks = new Ticks();
  const clock = new ServerClock(ticks);
  clock.set(0);
  ticks.pass(1000);
  ticks.wall -= 3_600_000;
  expect(clock.now()).toBe(1_000_000);
});

test("one late sample does not turn time back; half a minute of them does", () => {
  const ticks = new Ticks();
  const clock = new ServerClock(ticks);
  clock.set(0);
  ticks.pass(1000);
  clock.take(400_000);
  expect(clock.now()).toBe(1_000_000);
  for (let second = 2; second <= 40; second++) {
    ticks.pass(1000);
    clock.take(second * 1e6 - 600_000);
  }
  expect(clock.now()).toBe(39_400_000);
});

test("a sample that is ahead is taken at once", () => {
  const ticks = new Ticks();
  const clock = new ServerClock(ticks);
  clock.set(0);
  clock.take(9_000_000);
  expect(clock.now()).toBe(9_000_000);
});
