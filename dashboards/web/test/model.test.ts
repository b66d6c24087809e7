import { expect, test } from "vitest";
import { ServerClock } from "../src/clock";
import { Model } from "../src/model";
import type { DevicesBody, WireDevice } from "../src/wire";

const NOW = 1_700_000_000_000_000;

class World {
  ms = 0;
  frames: (() => void)[] = [];
  model = new Model(
    new ServerClock({ monotonicMs: () => this.ms, wallMs: () => this.ms }),
    (run) => void this.frames.push(run),
  );
  constructor(points = 1) {
    this.model.setDevices(devices(points));
    this.model.setConnection({ kind: "live" });
    this.frame();
  }
  frame(): void {
    for (const run of this.frames.splice(0)) run();
  }
}

function devices(points: number): DevicesBody {
  const device: WireDevice = {
    ...{ device: "d", code: null, title: {}, domain: "", profile: "", version: "", gateway: "g", origin: "g/agent" },
    points: Array.from({ length: points }, (_, series) => ({
      ...{ series, point: `p${series}`, title: {}, quantity: "", unit: "1", kind: "number" as const, period_s: 2 },
      ...{ value: 1, at: NOW, quality: "good" as const, reason: "none" },
    })),
  };
  return { now: NOW, devices: [device] };
}

test("a thousand changed points are announced in one frame, each listener once", () => {
  const world = new World(1000);
  const heard = new Map<number, number>();
  for (let series = 0; series < 1000; series++) {
    world.model.subscribe(series, () => heard.set(series, (heard.get(series) ?? 0) + 1));
  }
  for (let pack = 1; pack <= 3; pack++) {
    world.model.rows({ now: NOW + pack, rows: [...Array(1000).keys()].map((s) => [s, pack, NOW + pack, "good", "none"]) });
  }
  expect(world.frames.length).toBe(1);
  expect(heard.size).toBe(0);
  world.frame();
  expect([...heard.values()].every((n) => n === 1)).toBe(true);
  expect(world.model.point(999)?.value).toBe(3);
});

test("values go late and then silent as the server's time passes, with nobody sending anything", () => {
  const world = new World();
  const states = [1, 7, 13].map((second) => {
    world.ms = second * 1000;
    world.model.tick();
    return world.model.point(0)?.state;
  });
  expect(states).toEqual(["fresh", "late", "silent"]);
  expect([...world.model.countStates()]).toEqual([["silent", 1]]);
});

test("old data never overwrites a latest value", () => {
  const { model } = new World();
  model.rows({ now: NOW, rows: [[0, 99, NOW - 1, "good", "none"]] });
  expect(model.point(0)?.value).toBe(1);
});

test("a snapshot replaces what the stream did not touch since it was asked for, and nothing newer", () => {
  const { model } = new World(2);
  const generation = model.beginSnapshot();
  model.rows({ now: NOW + 5, rows: [[0, 7, NOW + 5, "good", "none"]] });
  model.snapshot({ now: NOW + 6, rows: [[0, 3, NOW + 3, "good", "none"], [1, 4, NOW - 9, "good", "none"]] }, generation);
  expect(model.point(0)?.value).toBe(7);
  expect(model.point(1)?.value).toBe(4);
});

test("rows of an unknown series are left for the next device list", () => {
  const { model } = new World();
  model.rows({ now: NOW, rows: [[77, 1, NOW, "good", "none"]] });
  expect(model.point(77)).toBeUndefined();
});
