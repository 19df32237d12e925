// The lines of a drawing in DXF (ASCII): points, lines, polylines, circles, arcs and faces of the model.
// Texts, hatches, blocks and curves of other kinds are counted, not drawn.

import type { Path, Position } from "./path.ts";

export interface Drawing {
  paths: Path[];
  /** Entities that are drawn, and those that are not. */
  shown: number;
  left: number;
}

/** An entity: the values of its groups, by code. */
class Entity {
  readonly type: string;
  readonly #groups: [code: number, value: string][] = [];

  constructor(type: string) {
    this.type = type;
  }

  add(code: number, value: string): void {
    this.#groups.push([code, value]);
  }

  all(code: number): number[] {
    return this.#groups.filter(([own]) => own === code).map(([, value]) => Number(value));
  }

  /** The first value of a code, or 0, which is what a missing one means. */
  one(code: number): number {
    const found = this.#groups.find(([own]) => own === code);
    return found === undefined ? 0 : Number(found[1]);
  }

  point(n = 0): Position {
    return [this.one(10 + n), this.one(20 + n)];
  }

  /** Vertices of a light-weight polyline, each with its bulge, in the order of the groups. */
  vertices(): [x: number, y: number, bulge: number][] {
    const found: [number, number, number][] = [];
    for (const [code, value] of this.#groups) {
      const last = found.at(-1);
      if (code === 10) found.push([Number(value), 0, 0]);
      else if (code === 20 && last !== undefined) last[1] = Number(value);
      else if (code === 42 && last !== undefined) last[2] = Number(value);
    }
    return found;
  }
}

/** The entities of the section ENTITIES. */
function* entitiesOf(text: string): Generator<Entity> {
  let [at, isWithin, isSection] = [0, false, false];
  let entity: Entity | null = null;
  const line = () => {
    const end = text.indexOf("\n", at);
    const found = text.slice(at, end < 0 ? text.length : end).trim();
    at = end < 0 ? text.length : end + 1;
    return found;
  };
  while (at < text.length) {
    const code = Number(line());
    const value = line();
    if (code === 0) {
      if (entity !== null) yield entity;
      entity = null;
      isSection = value === "SECTION";
      if (value === "ENDSEC" && isWithin) return;
      if (isWithin) entity = new Entity(value);
    } else if (isSection && code === 2) {
      isWithin = value === "ENTITIES";
      isSection = false;
    } else {
      entity?.add(code, value);
    }
  }
}

/** Points of an arc, anticlockwise, in radians. */
function arc([x, y]: Position, radius: number, from: number, to: number): Position[] {
  const turn = to - from;
  const steps = Math.max(2, Math.ceil(Math.abs(turn) / (Math.PI / 36)));
  return Array.from({ length: steps + 1 }, (_, n) => {
    const angle = from + (turn * n) / steps;
    return [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
  });
}

/** A polyline; a bulge is the tangent of a quarter of the angle of the arc to the next vertex. */
function polyline(vertices: [x: number, y: number, bulge: number][], isClosed: boolean): Position[] {
  const points: Position[] = [];
  vertices.forEach(([x, y, bulge], n) => {
    points.push([x, y]);
    const next = vertices[n + 1] ?? (isClosed ? vertices[0] : undefined);
    if (next === undefined || bulge === 0) return;
    const [dx, dy] = [next[0] - x, next[1] - y];
    const away = (1 - bulge * bulge) / (4 * bulge);
    const center: Position = [x + dx / 2 - dy * away, y + dy / 2 + dx * away];
    const radius = Math.hypot(x - center[0], y - center[1]);
    const from = Math.atan2(y - center[1], x - center[0]);
    points.push(...arc(center, radius, from, from + 4 * Math.atan(bulge)).slice(1, -1));
  });
  return points;
}

const RADIANS = Math.PI / 180;
/** Flags of a POLYLINE that is a mesh, and no line. */
const MESH = 16 | 64;

/** The points of an entity, and whether they are closed; null for one that is not drawn. */
function pathOf(entity: Entity, vertices: [number, number, number][]): Path | null {
  const isClosed = (entity.one(70) & 1) === 1;
  switch (entity.type) {
    case "POINT":
      return { points: [entity.point()], isArea: false };
    case "LINE":
      return { points: [entity.point(), entity.point(1)], isArea: false };
    case "CIRCLE":
      return { points: arc(entity.point(), entity.one(40), 0, 2 * Math.PI), isArea: true };
    case "ARC": {
      const [from, to] = [entity.one(50) * RADIANS, entity.one(51) * RADIANS];
      return { points: arc(entity.point(), entity.one(40), from, to < from ? to + 2 * Math.PI : to), isArea: false };
    }
    case "LWPOLYLINE":
      return { points: polyline(entity.vertices(), isClosed), isArea: isClosed };
    case "POLYLINE":
      return (entity.one(70) & MESH) === 0 ? { points: polyline(vertices, isClosed), isArea: isClosed } : null;
    case "3DFACE":
      return { points: [0, 1, 2, 3].map((n) => entity.point(n)), isArea: true };
    case "SOLID":
      // Its third and fourth corner are exchanged.
      return { points: [0, 1, 3, 2].map((n) => entity.point(n)), isArea: true };
    default:
      return null;
  }
}

export function readDxf(text: string): Drawing {
  const drawing: Drawing = { paths: [], shown: 0, left: 0 };
  let [open, vertices] = [null as Entity | null, [] as [number, number, number][]];
  const end = (entity: Entity) => {
    const path = pathOf(entity, vertices);
    const isGood = path !== null && path.points.length > 0 && path.points.flat().every(Number.isFinite);
    if (!isGood) return void drawing.left++;
    // Seen from below: the x axis points the other way (DXF Reference, "Arbitrary axis algorithm").
    const isMirrored = entity.all(230)[0] === -1 && entity.type !== "LINE" && entity.type !== "POINT" && entity.type !== "3DFACE";
    if (isMirrored) path.points = path.points.map(([x, y]) => [-x, y]);
    drawing.paths.push(path);
    drawing.shown++;
  };
  for (const entity of entitiesOf(text)) {
    if (entity.type === "VERTEX") {
      vertices.push([...entity.point(), entity.one(42)]);
    } else if (entity.type === "SEQEND") {
      // That of a POLYLINE, or of the attributes of a block.
      if (open !== null) end(open);
      open = null;
    } else if (entity.type === "POLYLINE") {
      [open, vertices] = [entity, []];
    } else if (entity.type !== "ATTRIB") {
      end(entity);
    }
  }
  return drawing;
}
