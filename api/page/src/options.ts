// The options that the form offers, and the format that an order names.

import type { Engine } from "./wire.ts";

export interface Choice {
  /** Name, as an order has it. */
  name: string;
  /** Possible values; any text if there are none. */
  values?: string[];
  example?: string;
}

const YES = ["yes", "no"];

/** The most used options of the built-in engines; docs/ENGINES.md has all. Others are entered by name. */
const COMMON: Record<string, Choice[]> = {
  gdal: [
    { name: "t_srs", example: "EPSG:5186" },
    { name: "s_srs", example: "EPSG:4326" },
    { name: "where", example: "code = 3" },
    { name: "select", example: "name,code" },
    { name: "layer" },
    { name: "encoding", example: "CP949" },
    { name: "simplify", example: "0.5" },
  ],
  assimp: [{ name: "origin", example: "auto" }, { name: "postprocess" }],
  occt: [
    { name: "quality", values: ["coarse", "normal", "fine"] },
    { name: "unit", values: ["mm", "cm", "m", "inch"] },
    { name: "schema", values: ["ap203", "ap214", "ap242"] },
    { name: "heal", values: ["no", "fix", "sew"] },
    { name: "lenient", values: YES },
  ],
};

const DRAWING: Choice[] = [
  { name: "dxf.version", values: ["R2000", "R2004", "R2007", "R2010", "R2013", "R2018"] },
  { name: "dxf.codepage", example: "949" },
  { name: "dxf.layer" },
  { name: "dxf.label" },
  { name: "dxf.polygon", values: ["polyline", "hatch", "both"] },
];

/** Presets that come with the server; both are for drawings. */
export const PRESETS = ["korea", "plain"];

export function choicesOf(engine: Engine, format: string): Choice[] {
  if (engine.options !== undefined) {
    return engine.options.map(({ name, values }) => {
      const listed = /^one of (.+)$/.exec(values ?? "")?.[1]?.split(", ");
      if (listed !== undefined) return { name, values: listed };
      return values === "yes or no" ? { name, values: YES } : { name };
    });
  }
  const common = COMMON[engine.engine] ?? [];
  return engine.engine === "gdal" && isDrawing(format) ? [...DRAWING, ...common] : common;
}

export function isDrawing(format: string): boolean {
  return format.toLowerCase() === "dxf";
}

/** The extension of a name, in lower case, without a dot. */
export function extensionOf(name: string): string {
  return /[^.]\.([^./\\]+)$/.exec(name)?.[1]?.toLowerCase() ?? "";
}

/** Extensions of archives, whose contents decide. */
const ARCHIVES = ["zip"];

export function isArchive(name: string): boolean {
  return ARCHIVES.includes(extensionOf(name));
}

export interface Target {
  /** What an order names. */
  value: string;
  label: string;
}

/** For each engine that reads one of these files, what it writes. Of formats that share an extension, the
 * first is named by it, and the others by their ids. Without names every engine is offered. */
export function targetsOf(engines: Engine[], names: string[] | null): { engine: Engine; targets: Target[] }[] {
  // An engine that is declared by its formats alone may read anything, and so may one that unpacks.
  const extensions = new Set(names?.map(extensionOf));
  const isKnown = names !== null && !names.some(isArchive);
  const reads = ({ inputs }: Engine) => !isKnown || inputs.length === 0 || inputs.some((one) => extensions.has(one));
  const taken = new Set<string>();
  const groups = engines.filter(reads).map((engine) => {
    const targets: Target[] = [];
    for (const { id, extension: own } of engine.outputs) {
      const isFirst = own !== "" && !taken.has(own);
      const value = isFirst ? own : id;
      if (!isFirst && taken.has(value)) continue;
      taken.add(value);
      targets.push({ value, label: value.toLowerCase() === id.toLowerCase() ? own || id : `${own} (${id})` });
    }
    return { engine, targets };
  });
  return groups.filter(({ targets }) => targets.length > 0);
}
