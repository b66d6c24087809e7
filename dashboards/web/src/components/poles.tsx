/** Devices by the pole whose gateway sends them; a pole's own state comes from the ledger. */

import { formatAge, formatCount } from "../format";
import { titleOf } from "../i18n";
import type { Device } from "../model";
import { usePage, useTopics } from "./context";
import { PointRow } from "./pointrow";

export function Poles() {
  const { model, t, address } = usePage();
  useTopics("list", "link");
  if (!model.devices) return <p class="empty">{t(model.connection.kind === "cut" ? "nothingYet" : "loading")}</p>;
  if (!model.devices.length) return <p class="empty">{t("noDevices")}</p>;
  const poles = new Map<string, Device[]>();
  for (const device of model.devices) {
    const pole = device.wire.gateway;
    poles.set(pole, [...(poles.get(pole) ?? []), device]);
  }
  const names = [...poles.keys()].sort((a, b) => a.localeCompare(b, address.lang, { numeric: true }));
  return (
    <>
      {names.map((name) => (
        <Pole key={name} name={name} devices={poles.get(name) ?? []} />
      ))}
    </>
  );
}

function Pole({ name, devices }: { name: string; devices: Device[] }) {
  const { t } = usePage();
  return (
    <section class="pole" aria-label={`${t("pole")} ${name}`}>
      <header>
        <h2>
          <span class="muted">{t("pole")}</span> {name}
        </h2>
        <PoleState name={name} />
        <span class="muted">{t("devicesCount", { n: devices.length })}</span>
      </header>
      <div class="cards">
        {devices.map((device) => (
          <Card key={`${device.wire.origin} ${device.wire.device}`} device={device} />
        ))}
      </div>
    </section>
  );
}

/** A gateway tells its state every 2 s; an "online" that nobody has repeated for this long (µs) is no green light. */
const STATE_HOLDS_US = 15e6;

function PoleState({ name }: { name: string }) {
  const { model, t, address } = usePage();
  useTopics("ledger", "link", "clock");
  const state = model.cut ? undefined : model.ledger?.gateways.find((one) => one.gateway === name);
  if (!state) return <span class="polestate is-unknown">{t("gatewayUnknown")}</span>;
  const age = model.clock.now() - state.at;
  if (state.online && age > STATE_HOLDS_US) {
    return <span class="polestate is-stale">{t("gatewayStale", { age: formatAge(age, address.lang) })}</span>;
  }
  const waiting = state.ledger?.waiting ?? 0;
  return (
    <>
      <span class={`polestate is-${state.online ? "online" : "offline"}`}>
        <span class="lamp" aria-hidden="true" />
        {t(state.online ? "online" : "offline")}
      </span>
      {waiting ? <span class="muted">{t("poleWaiting", { n: formatCount(waiting, address.lang) })}</span> : null}
    </>
  );
}

function Card({ device }: { device: Device }) {
  const { t, address } = usePage();
  const { wire, points } = device;
  const title = titleOf(wire.title, wire.device, address.lang);
  const facts = [wire.device, wire.code && `${t("code")} ${wire.code}`, wire.profile].filter(Boolean);
  return (
    <article class="card">
      <h3>{title}</h3>
      <p class="facts" title={facts.join(" · ")}>
        {facts.join(" · ")}
      </p>
      <ul class="points">
        {points.map((point) => (
          <PointRow key={point.meta.series} point={point} />
        ))}
      </ul>
    </article>
  );
}
