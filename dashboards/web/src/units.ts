/** UCUM codes as people write them. An unknown code is shown as it is: a wrong unit is worse than an ugly one. */

const WHOLE: Record<string, string> = {
  "1": "",
  "{count}": "",
  "[pH]": "pH",
  "[ppm]": "ppm",
  "10*-6": "ppm",
  "10*-9": "ppb",
  "[ppb]": "ppb",
  "[NTU]": "NTU",
  "{NTU}": "NTU",
  "dB[SPL]": "dB",
  "dB(A)": "dB(A)",
  "dB{A}": "dB(A)",
  "dB[A]": "dB(A)",
  B: "B",
  "m[H2O]": "mH₂O",
  "mm[Hg]": "mmHg",
};

const ATOMS: [RegExp, string][] = [
  [/^(da|[YZEPTGMkhdcmunpfazy])?Cel$/, "$1°C"],
  [/^\[degF\]$/, "°F"],
  [/^deg$/, "°"],
  [/^Ohm$/, "Ω"],
  [/^([kMm])Ohm$/, "$1Ω"],
  [/^u([A-Za-z].*)$/, "µ$1"],
  [/^\[?pH\]?$/, "pH"],
  [/^L$/, "L"],
  [/^m3$/, "m³"],
  [/^(k|c|d|m)?m([23])$/, "$1m^$2"],
  [/^%\{?RH\}?$/, "%RH"],
  [/^var$/, "var"],
  [/^V\.A$/, "VA"],
];

const RAISED: Record<string, string> = { "-": "⁻", "1": "¹", "2": "²", "3": "³" };

function atom(text: string): string {
  const bare = text.replace(/\{[^}]*\}/g, "") || text;
  for (const [pattern, words] of ATOMS) {
    if (pattern.test(bare)) return bare.replace(pattern, words).replace(/\^([23])/, (_, n: string) => RAISED[n] ?? n);
  }
  return bare.replace(/(?<=[A-Za-z\]])(-?[1-3])$/, (digits) => [...digits].map((c) => RAISED[c] ?? c).join(""));
}

/** `Cel` → `°C`, `ug/m3` → `µg/m³`, `kW.h` → `kW·h`, `1` → nothing. */
export function humanUnit(ucum: string): string {
  const whole = WHOLE[ucum];
  if (whole !== undefined) return whole;
  return ucum
    .split("/")
    .map((part) => part.split(".").map(atom).filter(Boolean).join("·"))
    .join("/");
}
