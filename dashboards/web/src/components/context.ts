/** What every component may reach: the model, the language, the address; and how it hears of changes. */

import { createContext } from "preact";
import { useContext, useLayoutEffect, useReducer } from "preact/hooks";
import type { Address } from "../address";
import { say, type Key } from "../i18n";
import type { Model, Topic } from "../model";

export interface Page {
  model: Model;
  address: Address;
  go(change: Partial<Address>): void;
}

export const PageContext = createContext<Page | null>(null);

export function usePage(): Page & { t: (key: Key, blanks?: Record<string, string | number>) => string } {
  const page = useContext(PageContext);
  if (!page) throw new Error("outside of the page");
  return { ...page, t: (key, blanks) => say(page.address.lang, key, blanks) };
}

/** Draw again whenever the model announces one of these topics. Subscribed in the same turn as drawn: nothing is missed. */
export function useTopics(...topics: Topic[]): void {
  const { model } = usePage();
  const [, again] = useReducer((n: number) => n + 1, 0);
  useLayoutEffect(() => {
    const undo = topics.map((topic) => model.subscribe(topic, () => again(undefined as never)));
    return () => undo.forEach((stop) => stop());
  }, [model, ...topics]);
}
