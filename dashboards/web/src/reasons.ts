/** Why a value is missing or a gap exists, in words. The keys are the words of device_profiles/quality.py. */

import type { Lang } from "./i18n";

const WORDS: Record<string, [zh: string, en: string]> = {
  timeout: ["设备无应答", "no answer from the device"],
  bad_checksum: ["校验错误", "bad checksum"],
  truncated: ["应答不完整", "answer cut short"],
  wrong_unit: ["应答来自别的设备", "answer from another unit"],
  malformed: ["报文格式错误", "malformed frame"],
  exception: ["设备返回异常码", "the device answered with an exception"],
  busy: ["设备忙", "device busy"],
  late: ["应答太晚", "answer came too late"],
  link_down: ["线路断开", "link is down"],
  noise: ["线路干扰", "noise on the line"],
  echo: ["线路回声", "echo on the line"],
  sensor_open: ["传感器断线", "sensor not connected"],
  not_a_number: ["不是数值", "not a number"],
  bad_encoding: ["编码无法识别", "encoding not understood"],
  out_of_range: ["超出量程", "out of range"],
  clock_doubted: ["设备时钟不可信", "the device's clock is not believed"],
  re_dated: ["授时后补记时间", "dated after the box got the time"],
  maintenance: ["维护、校准或手工数据", "maintenance, calibration or manual entry"],
  device_fault: ["设备报告故障", "the device reports a fault"],
  stopped: ["被测对象停运", "what is measured stands still"],
  instrument_silent: ["设备与仪表通信中断", "the device cannot reach its instrument"],
  no_fix: ["未定位", "no satellite fix"],
  missing: ["设备报告无数据", "the device has no value"],
  queue_full: ["缓存已满", "queue full"],
  disk_full: ["磁盘已满", "disk full"],
  quota: ["超出存储配额", "storage quota exceeded"],
  expired: ["保存期已过", "expired before delivery"],
  originator_killed: ["采集程序意外终止", "the collecting program was killed"],
  shutdown: ["采集程序停机", "the collecting program was shut down"],
  gateway_down: ["网关停机", "gateway down"],
  unknown_device: ["未登记的设备", "unknown device"],
  thinned: ["缓存已满,抽稀为每分钟一个值", "thinned to one value a minute"],
  unmapped: ["设备模板中没有此项", "not in the profile"],
  repeated: ["设备重发", "sent again by the device"],
  resync: ["用于线路重新同步", "used to resynchronise the line"],
  unknown_manifest: ["缺少设备清单", "device list unknown"],
  wrong_shard: ["分片不符", "wrong shard"],
  unknown_topic: ["主题不明", "unknown topic"],
  oversized: ["批次过大", "batch too large"],
  unknown_alias: ["测点不明", "unknown point"],
  store_down: ["数据库不可用", "store is down"],
  unknown_version: ["版本不明", "unknown version"],
  bug: ["程序缺陷", "a fault in our program"],
};

/** The reason in words; a word that this page does not know yet is shown as it came. */
export function reasonText(word: string, lang: Lang): string {
  const known = WORDS[word];
  if (known) return known[lang === "zh" ? 0 : 1];
  return word === "none" ? "" : word.replaceAll("_", " ");
}

/** For the test that holds this table against device_profiles. */
export const knownReasons = (): string[] => Object.keys(WORDS);
