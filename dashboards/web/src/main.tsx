/** Starts the page: reads the address, follows the server, draws. */

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { readAddress, writeAddress, type Address } from "./address";
import { ChartPanel } from "./components/chartpanel";
import { PageContext, useTopics, usePage } from "./components/context";
import { Filters } from "./components/filters";
import { Banner, Header } from "./components/header";
import { LedgerStrip } from "./components/ledgerstrip";
import { Poles } from "./components/poles";
import { say } from "./i18n";
import { Model } from "./model";
import { startSession } from "./session";
import "./styles/page.css";
import "./styles/states.css";
import "./styles/cards.css";
import "./styles/ledger.css";
import "./styles/panel.css";

const model = new Model();

function App() {
  const [address, setAddress] = useState<Address>(() => readAddress(location.search));
  const go = (change: Partial<Address>): void => {
    const next = { ...address, ...change };
    history.replaceState(null, "", writeAddress(next));
    setAddress(next);
  };
  useEffect(() => {
    document.documentElement.lang = address.lang === "zh" ? "zh-CN" : "en";
    document.title = say(address.lang, "documentTitle");
  }, [address.lang]);
  return (
    <PageContext.Provider value={{ model, address, go }}>
      <Whole />
    </PageContext.Provider>
  );
}

function Whole() {
  const { address } = usePage();
  useTopics("link");
  return (
    <div class={`whole is-${model.connection.kind} ${address.series === null ? "" : "with-panel"}`}>
      <Header />
      <Banner />
      <LedgerStrip />
      <Filters />
      <div class="columns">
        <main>
          <Poles />
        </main>
        <ChartPanel />
      </div>
    </div>
  );
}

const place = document.getElementById("page");
if (!place) throw new Error("the page has no place");
render(<App />, place);
void startSession(model, new AbortController().signal);
