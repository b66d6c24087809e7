import { expect, test } from "vitest";
import { AHEAD_US, freshness, GRACE_US, lateAfterUs, periodUs, silentAfterUs } from "../src/staleness";

const NOW = 1_700_000_000_000_000;
const at = (age_us: number, period = 2) => freshness(NOW - age_us, NOW, period);

test("a value ages from fresh over late to silent, at 2 and 5 periods and the grace", () => {
  expect(at(0)).toBe("fresh");
  expect(at(2 * 2e6 + GRACE_US)).toBe("fresh");
  expect(at(2 * 2e6 + GRACE_US + 1)).toBe("late");
  expect(at(5 * 2e6 + GRACE_US)).toBe("late");
  expect(at(5 * 2e6 + GRACE_US + 1)).toBe("silent");
});

test("a slow series has more time than a fast one", () => {
  expect(at(100e6, 60)).toBe("fresh");
  expect(at(100e6, 2)).toBe("silent");
});

test("what was never seen is neither fresh nor stale", () => {
  expect(freshness(null, NOW, 2)).toBe("never");
});

test("a time in the future does not keep a dead value fresh", () => {
  expect(at(-AHEAD_US)).toBe("fresh");
  expect(at(-AHEAD_US - 1)).toBe("ahead");
});

test.each([0, -1, NaN, Infinity])("a period of %s is treated as a minute", (period) => {
  expect(periodUs(period)).toBe(60e6);
  expect(lateAfterUs(period)).toBe(120e6 + GRACE_US);
  expect(silentAfterUs(period)).toBe(300e6 + GRACE_US);
});
