import { expect, test } from "vitest";
import { displayOf, stateOf, type Seen } from "../src/display";

const good: Seen = { value: 25.3, quality: "good", reason: "none" };
const bad: Seen = { value: null, quality: "bad", reason: "timeout" };

test("a value that was not measured is a dash with its reason, never a zero", () => {
  expect(displayOf(bad, 1, "en")).toEqual({ text: "—", hasValue: false, why: "no answer from the device" });
  expect(displayOf(bad, 1, "zh").why).toBe("设备无应答");
  expect(displayOf({ ...bad, value: 0 }, 1, "en").text).toBe("—");
  expect(displayOf({ value: null, quality: "good", reason: "none" }, 1, "en").text).toBe("—");
  expect(displayOf({ value: null, quality: null, reason: "none" }, null, "en").text).toBe("—");
});

test("zero is a value", () => {
  expect(displayOf({ ...good, value: 0 }, 1, "en")).toEqual({ text: "0", hasValue: true, why: "" });
});

test("a reason that this page does not know is shown as it came", () => {
  expect(displayOf({ ...bad, reason: "alien_noise" }, 1, "zh").why).toBe("alien noise");
});

test("age wins over quality, and on a cut stream nothing is fresh", () => {
  expect(stateOf(good, "fresh", false)).toBe("fresh");
  expect(stateOf(good, "fresh", true)).toBe("unheard");
  expect(stateOf(good, "late", true)).toBe("late");
  expect(stateOf(bad, "fresh", false)).toBe("bad");
  expect(stateOf(bad, "silent", false)).toBe("silent");
  expect(stateOf({ ...good, quality: "uncertain" }, "fresh", false)).toBe("uncertain");
});
