import { expect, test } from "vitest";
import { centreAccounts, poleAccounts, sentence, toneOf } from "../src/accounts";
import type { LedgerBody } from "../src/wire";

function body(change: Partial<LedgerBody["total"]> = {}, differences: string[] = []): LedgerBody {
  const total = {
    ...{ polled: 3214, good: 3210, uncertain: 0, bad: { timeout: 4 }, unchanged: 0, pending: 0, discarded: {} },
    ...{ handed: 3214, spooled: 3214, refused: {}, stored: 3202, duplicate: 0, rejected: {}, given_up: {}, waiting: 12 },
    ...change,
  };
  const intake = { arrived: 3202, stored: 3202, duplicate: 0, rejected: {}, later: {}, malformed: {} };
  return { now: 0, intake, gateways: [], total, differences };
}

test("all accounted for, in both languages", () => {
  expect(sentence(body(), "en")).toBe("3,214 readings: all accounted for; 12 waiting");
  expect(sentence(body(), "zh")).toBe("3,214 条读数：全部有账可查；12 条等待入库");
  expect(toneOf(body())).toBe("ok");
});

test("nothing waiting is not mentioned; what an agent still holds is waiting too", () => {
  expect(sentence(body({ waiting: 0 }), "en")).toBe("3,214 readings: all accounted for");
  expect(sentence(body({ waiting: 2, pending: 3 }), "en")).toContain("5 waiting");
});

test("a known loss is accounted for and still told", () => {
  const lossy = body({ given_up: { quota: 40 }, refused: { disk_full: 1 }, rejected: { unknown_alias: 2 } });
  expect(sentence(lossy, "en")).toBe("3,214 readings: all accounted for; 12 waiting; 43 known to be lost");
  expect(toneOf(lossy)).toBe("loss");
});

test("one difference turns the strip red, whatever else is well", () => {
  const wrong = body({}, ["polled = 3,214 but good + uncertain + bad = 3,213"]);
  expect(toneOf(wrong)).toBe("wrong");
  expect(sentence(wrong, "en")).toContain("do not balance (differences: 1)");
  expect(sentence(wrong, "en")).not.toContain("all accounted for");
});

test("an unread ledger claims nothing", () => {
  expect(toneOf(null)).toBe("unknown");
  expect(sentence(null, "en")).toBe("The ledger has not been read yet");
});

test("the tables show every account of the ledger", () => {
  const keys = poleAccounts(body()).map((account) => account.key);
  expect(keys.length).toBe(Object.keys(body().total).length);
  expect(poleAccounts(body()).find((account) => account.key === "badCount")).toMatchObject({ count: 4, reasons: { timeout: 4 } });
  expect(centreAccounts(body()).length).toBe(Object.keys(body().intake).length);
});
