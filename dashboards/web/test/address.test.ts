import { expect, test } from "vitest";
import { readAddress, writeAddress, type Address } from "../src/address";
import { say, titleOf } from "../src/i18n";

test("Chinese, ten minutes and everything are the address of the plain page", () => {
  expect(readAddress("")).toEqual({ lang: "zh", series: null, range: "10m", show: "all" });
  expect(writeAddress(readAddress(""))).toBe("./");
});

test("an address survives being written and read", () => {
  const address: Address = { lang: "en", series: 12, range: "24h", show: "late" };
  expect(readAddress(writeAddress(address))).toEqual(address);
});

test.each(["?lang=fr", "?series=1e9", "?series=-1", "?range=toString", "?show=<b>"])("%s is forgiven", (search) => {
  expect(writeAddress(readAddress(search))).toBe("./");
});

test("a title falls back to the other language, then to the name", () => {
  expect(titleOf({ zh: "液位", en: "Level" }, "level", "en")).toBe("Level");
  expect(titleOf({ zh: "液位" }, "level", "en")).toBe("液位");
  expect(titleOf({}, "level", "zh")).toBe("level");
});

test("blanks that nobody fills stay visible", () => {
  expect(say("en", "poleWaiting", { n: 3 })).toBe("3 waiting");
  expect(say("en", "poleWaiting")).toBe("{n} waiting");
});
