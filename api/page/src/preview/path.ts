// What a drawing is drawn of.

export type Position = [x: number, y: number];

/** A line through these points, closed if it is the border of an area. One point is a dot. */
export interface Path {
  points: Position[];
  isArea: boolean;
}

/** Smallest and largest coordinates. */
export function extentOf(paths: Path[]): [minX: number, minY: number, maxX: number, maxY: number] {
  let [minX, minY, maxX, maxY] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { points } of paths) {
    for (const [x, y] of points) {
      [minX, minY] = [Math.min(minX, x), Math.min(minY, y)];
      [maxX, maxY] = [Math.max(maxX, x), Math.max(maxY, y)];
    }
  }
  return [minX, minY, maxX, maxY];
}
