/** How many points are in each state, and a way to see only those. */

import { STATES, type State } from "../display";
import { formatCount } from "../format";
import { usePage, useTopics } from "./context";
import { StateIcon } from "./icon";

export function Filters() {
  const { model, t, address, go } = usePage();
  useTopics("counts", "list");
  if (!model.devices?.length) return null;
  const counts = model.countStates();
  const total = [...counts.values()].reduce((a, b) => a + b, 0);
  const shown = STATES.filter((state) => counts.get(state) || address.show === state);
  return (
    <div class="filters" role="group" aria-label={t("filterLabel")}>
      <Chip label={t("all")} count={total} pressed={address.show === "all"} choose={() => go({ show: "all" })} />
      {shown.map((state) => (
        <Chip
          key={state}
          state={state}
          label={t(state)}
          count={counts.get(state) ?? 0}
          pressed={address.show === state}
          choose={() => go({ show: address.show === state ? "all" : state })}
        />
      ))}
      {address.series === null ? <p class="muted hint">{t("chooseHint")}</p> : null}
      {address.show !== "all" && !counts.get(address.show) ? <p class="muted">{t("nothingShown")}</p> : null}
    </div>
  );
}

interface ChipProps {
  state?: State;
  label: string;
  count: number;
  pressed: boolean;
  choose(): void;
}

function Chip({ state, label, count, pressed, choose }: ChipProps) {
  const { address } = usePage();
  return (
    <button type="button" class={`chip ${state ? `is-${state}` : ""}`} aria-pressed={pressed} onClick={choose}>
      {state ? <StateIcon state={state} /> : null}
      {label} <b>{formatCount(count, address.lang)}</b>
    </button>
  );
}
