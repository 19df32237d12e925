// The two languages. Each is one file that is loaded when it is chosen; English names the keys.

import type english from "../text/en.json";

export type Language = "en" | "ko";
export type Key = keyof typeof english;
type Parameters = Record<string, string | number>;

/** Meaning of a failure code, and what to do. */
export interface FailureText {
  meaning: string;
  hint: string;
}

export interface Texts {
  language: Language;
  /** The text of a key, with `{name}` replaced. */
  t(key: Key, parameters?: Parameters): string;
  /** Whether there is a text of this name, for names that are made of a word of the API. */
  has(key: string): key is Key;
  failure(code: string): FailureText | null;
  /** A size, with three digits: `1.5 MB` is 1,500,000 bytes. */
  bytes(size: number): string;
  /** A fraction from 0 to 1. */
  percent(fraction: number): string;
  number(value: number): string;
  duration(milliseconds: number): string;
  /** A time of RFC 3339, in the zone of the reader. */
  time(text: string): string;
}

const NAMES: Record<Language, string> = { en: "English", ko: "한국어" };
export const LANGUAGES = Object.entries(NAMES) as [Language, string][];

/** The language of the address (`?lang=ko`), or the first one of the browser that there is. */
export function preferred(search: string, browser: readonly string[]): Language {
  const asked = [new URLSearchParams(search).get("lang") ?? "", ...browser];
  for (const tag of asked) {
    const base = tag.toLowerCase().split("-")[0] ?? "";
    if (base in NAMES) return base as Language;
  }
  return "en";
}

async function files(language: Language): Promise<[Record<string, string>, Record<string, string[]>]> {
  const modules =
    language === "ko"
      ? [import("../text/ko.json"), import("../text/failures.ko.json")]
      : [import("../text/en.json"), import("../text/failures.en.json")];
  const [texts, failures] = await Promise.all(modules);
  return [texts!.default as Record<string, string>, failures!.default as unknown as Record<string, string[]>];
}

export async function load(language: Language): Promise<Texts> {
  return textsOf(language, ...(await files(language)));
}

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

export function textsOf(
  language: Language,
  texts: Record<string, string>,
  failures: Record<string, string[]>,
): Texts {
  const numbers = new Intl.NumberFormat(language);
  const percents = new Intl.NumberFormat(language, { style: "percent" });
  const times = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
  const measured = (value: number, unit: string) => {
    // "999 byte" is what the short form of English has.
    const unitDisplay = unit === "byte" ? "long" : "short";
    return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay, maximumSignificantDigits: 3 }).format(value);
  };
  return {
    language,
    t: (key, parameters = {}) =>
      (texts[key] ?? key).replace(/\{(\w+)\}/g, (whole, name: string) =>
        name in parameters ? String(parameters[name]) : whole,
      ),
    has: (key): key is Key => key in texts,
    failure(code) {
      const [meaning, hint] = failures[code] ?? [];
      return meaning === undefined || hint === undefined ? null : { meaning, hint };
    },
    bytes(size) {
      let power = 0;
      // What would round to a thousand has the next unit.
      while (power < UNITS.length - 1 && size / 1000 ** power >= 999.5) power++;
      return measured(size / 1000 ** power, UNITS[power] ?? "byte");
    },
    percent: (fraction) => percents.format(Math.floor(fraction * 100) / 100),
    number: (value) => numbers.format(value),
    duration: (milliseconds) =>
      milliseconds < 1000 ? measured(milliseconds, "millisecond")
      : milliseconds < 120_000 ? measured(milliseconds / 1000, "second")
      : measured(milliseconds / 60_000, "minute"),
    time: (text) => times.format(new Date(text)),
  };
}
