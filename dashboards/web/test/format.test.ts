import { expect, test } from "vitest";
import { formatAge, formatNumber, formatTime } from "../src/format";
import { humanUnit } from "../src/units";

test.each([
  [25.299999237060547, "25.3"],
  [0, "0"],
  [-12.5, "−12.5"],
  [1234567, "1,234,567"],
  [1234567.891, "1,234,567.9"],
  [0.012345678, "0.0123457"],
  [0.00001234, "1.234e−5"],
  [1e18, "1.000e+18"],
  [NaN, "—"],
  [Infinity, "—"],
])("%s reads %s", (value, text) => {
  expect(formatNumber(value, "en")).toBe(text);
});

test.each([
  [0, "0 s", "0 秒"],
  [59_999_999, "59 s", "59 秒"],
  [61e6, "1 min", "1 分钟"],
  [7200e6, "2 h", "2 小时"],
  [4 * 86_400e6, "4 d", "4 天"],
  [-5e6, "0 s", "0 秒"],
])("an age of %s µs reads %s", (us, en, zh) => {
  expect(formatAge(us, "en")).toBe(en);
  expect(formatAge(us, "zh")).toBe(zh);
});

test("a time of another day carries its date", () => {
  const noon = new Date(2024, 4, 3, 12, 0, 5).getTime() * 1000;
  expect(formatTime(noon)).toBe("12:00:05");
  expect(formatTime(noon, noon + 86_400e6)).toBe("2024-05-03 12:00:05");
});

test.each([
  ["Cel", "°C"],
  ["%", "%"],
  ["1", ""],
  ["ug/m3", "µg/m³"],
  ["mg/L", "mg/L"],
  ["kW.h", "kW·h"],
  ["m/s", "m/s"],
  ["m3/h", "m³/h"],
  ["uS/cm", "µS/cm"],
  ["dB[A]", "dB(A)"],
  ["W/m2", "W/m²"],
  ["[pH]", "pH"],
  ["[NTU]", "NTU"],
  ["deg", "°"],
  ["m/s2", "m/s²"],
  ["10*3.m3", "10*3·m³"],
  ["{unheard-of}", "{unheard-of}"],
])("%s is written %s", (ucum, human) => {
  expect(humanUnit(ucum)).toBe(human);
});
