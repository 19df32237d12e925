// The paths of GeoJSON (RFC 7946), in its own coordinates.

import type { Path, Position } from "./path.ts";

/** Deepest nesting of collections that is read. */
const DEPTH = 16;

function position(value: unknown): Position | null {
  if (!Array.isArray(value)) return null;
  const [x, y] = value as unknown[];
  return typeof x === "number" && typeof y === "number" && Number.isFinite(x) && Number.isFinite(y) ? [x, y] : null;
}

function line(value: unknown): Position[] {
  return Array.isArray(value) ? value.map(position).filter((point) => point !== null) : [];
}

/** The paths of a geometry, a feature or a collection (RFC 7946). A point is a path of one. */
export function pathsOf(value: unknown, depth = 0): Path[] {
  if (typeof value !== "object" || value === null || depth > DEPTH) return [];
  const { type, coordinates, geometry, geometries, features } = value as Record<string, unknown>;
  const list = Array.isArray(coordinates) ? (coordinates as unknown[]) : [];
  const path = (points: Position[], isArea = false): Path[] => (points.length > 0 ? [{ points, isArea }] : []);
  switch (type) {
    case "Point":
      return path(line([coordinates]));
    case "MultiPoint":
      return list.flatMap((one) => path(line([one])));
    case "LineString":
      return path(line(list));
    case "MultiLineString":
      return list.flatMap((one) => path(line(one)));
    case "Polygon":
      return list.flatMap((ring) => path(line(ring), true));
    case "MultiPolygon":
      return list.flatMap((one) => (Array.isArray(one) ? one.flatMap((ring) => path(line(ring), true)) : []));
    case "Feature":
      return pathsOf(geometry, depth + 1);
    case "GeometryCollection":
      return Array.isArray(geometries) ? geometries.flatMap((one) => pathsOf(one, depth + 1)) : [];
    case "FeatureCollection":
      return Array.isArray(features) ? features.flatMap((one) => pathsOf(one, depth + 1)) : [];
    default:
      return [];
  }
}
