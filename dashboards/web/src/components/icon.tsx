/** One shape a state, so that colour never is the only sign. Drawn on a 16 × 16 grid. */

import type { State } from "../display";

const SHAPES: Record<State, string> = {
  fresh: "M3 8.5 6.5 12 13 4.5",
  uncertain: "M5.5 6a2.5 2.5 0 1 1 3.4 2.3c-.6.3-.9.7-.9 1.5M8 12.6v.1",
  bad: "M4 4l8 8M12 4l-8 8",
  late: "M8 1.8a6.2 6.2 0 1 0 .01 0M8 4.6V8.3l2.6 1.6",
  silent: "M2 6.2v3.6h2.4L8 12.8V3.2L4.4 6.2zM10.8 6l3.6 4M14.4 6l-3.6 4",
  ahead: "M3 4l4.5 4L3 12M8.5 4 13 8l-4.5 4",
  never: "M8 2a6 6 0 1 0 .01 0",
  unheard: "M6.5 5.5v5M9.5 5.5v5M8 1.8a6.2 6.2 0 1 0 .01 0",
};

export function StateIcon({ state }: { state: State }) {
  return (
    <svg class={`icon is-${state}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={SHAPES[state]} />
    </svg>
  );
}
