// A drawing in GeoJSON or DXF on a canvas: points, lines and areas, in their own coordinates.

import type { Texts } from "../language.ts";
import { readDxf } from "./dxf.ts";
import { pathsOf } from "./geojson.ts";
import { type Path, extentOf } from "./path.ts";

interface Shown {
  element: HTMLElement;
  label: string;
  close(): void;
}

function read(extension: string, text: string, texts: Texts): [paths: Path[], label: string] {
  if (extension === "dxf") {
    const { paths, shown, left } = readDxf(text);
    return [paths, texts.t("preview_dxf", { shown: texts.number(shown), left: texts.number(left) })];
  }
  const value: unknown = JSON.parse(text);
  const features = (value as { features?: unknown[] } | null)?.features;
  const count = Array.isArray(features) ? features.length : 1;
  return [pathsOf(value), texts.t("preview_drawing", { features: texts.number(count) })];
}

/** Shows a drawing of one of the formats `geojson`, `json` and `dxf`. */
export async function showDrawing(extension: string, blob: Blob, texts: Texts): Promise<Shown> {
  const [paths, label] = read(extension, await blob.text(), texts);
  if (paths.length === 0) throw new Error("no geometry");
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const element = document.createElement("div");
  element.append(canvas);
  const observer = new ResizeObserver(() => draw(canvas, paths, element.clientWidth));
  observer.observe(element);
  return { element, label, close: () => observer.disconnect() };
}

function draw(canvas: HTMLCanvasElement, paths: Path[], width: number): void {
  const height = Math.round((width * 10) / 16);
  const dense = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [width * dense, height * dense];
  canvas.style.width = "100%";
  const pen = canvas.getContext("2d");
  if (pen === null || width === 0) return;
  const [minX, minY, maxX, maxY] = extentOf(paths);
  const margin = 8;
  const scale = Math.min((width - 2 * margin) / (maxX - minX || 1), (height - 2 * margin) / (maxY - minY || 1));
  const [left, top] = [(width - (maxX - minX) * scale) / 2, (height - (maxY - minY) * scale) / 2];
  pen.scale(dense, dense);
  pen.fillStyle = "#f4f6f8";
  pen.fillRect(0, 0, width, height);
  pen.strokeStyle = "#1d4f91";
  pen.lineWidth = 1;
  pen.beginPath();
  for (const { points, isArea } of paths) {
    points.forEach(([x, y], n) => {
      // The y axis of a drawing points up.
      const [px, py] = [left + (x - minX) * scale, top + (maxY - y) * scale];
      if (points.length === 1) pen.rect(px - 1.5, py - 1.5, 3, 3);
      else if (n === 0) pen.moveTo(px, py);
      else pen.lineTo(px, py);
    });
    if (isArea) pen.closePath();
  }
  pen.stroke();
}
