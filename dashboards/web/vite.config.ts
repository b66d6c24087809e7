import { defineConfig } from "vitest/config";

/** The build writes plain files that a strict Content-Security-Policy accepts: nothing inline, no data: URIs. */
export default defineConfig({
  base: "/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    emptyOutDir: true,
  },
  test: { environment: "node", include: ["test/**/*.test.ts"] },
});
