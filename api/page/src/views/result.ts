// The result of a job: fetched, compared, and only then offered.

import { append, fill, h } from "../dom.ts";
import { alertOf, explain } from "../explain.ts";
import { extensionOf } from "../options.ts";
import { type Checked, fetchChecked } from "../result.ts";
import type { Download, Status } from "../wire.ts";
import type { Context } from "./view.ts";

/** A result of at most this size is fetched without being asked for, in bytes. */
const AT_ONCE = 64e6;
/** Largest result that is shown, in bytes: a preview holds it in memory. */
const SHOWN = 64e6;
const MODELS = ["glb", "stl", "obj"];
const DRAWINGS = ["geojson", "json", "dxf"];

/** The section of the result. `show` is given the status of the completed job. */
export function resultView(
  context: Context,
  id: string,
): { element: HTMLElement; show: (status: Status) => void; drop: () => void } {
  const { client, texts } = context;
  const { t } = texts;
  const place = h("div", {});
  const element = h("section", { hidden: true }, h("h2", {}, t("result")), place);
  let url: string | null = null;
  const release = () => {
    if (url !== null) URL.revokeObjectURL(url);
    url = null;
  };
  context.signal.addEventListener("abort", release, { once: true });

  const fetchIt = async (bar: HTMLProgressElement, line: HTMLElement) => {
    // A new URL: that of the last status may have expired.
    const { download } = await client.status(id, context.signal);
    if (download === null || download === undefined) return gone();
    let tenth = -1;
    const received = (bytes: number) => {
      const fraction = download.size_bytes === 0 ? 1 : bytes / download.size_bytes;
      bar.value = fraction;
      const text = t("result_fetching", { percent: texts.percent(fraction) });
      fill(line, text);
      if (Math.floor(fraction * 10) === tenth) return;
      tenth = Math.floor(fraction * 10);
      if (download.size_bytes > AT_ONCE) context.announce(text);
    };
    offer(download, await fetchChecked(download, received, context.signal));
  };
  const begin = async () => {
    const bar = h("progress", { max: 1, value: 0, "aria-label": t("result") });
    const line = h("p", {});
    fill(place, bar, line);
    try {
      await fetchIt(bar, line);
    } catch (error) {
      if (context.signal.aborted) return;
      const again = h("button", { type: "button", click: () => void begin() }, t("again"));
      fill(place, alertOf(explain(error, texts), texts, t("error")), again);
      if (client.isRefused(error)) context.signInAgain();
    }
  };
  const offer = (download: Download, { blob, sha256, compared }: Checked) => {
    release();
    url = URL.createObjectURL(blob);
    const name = download.file_name;
    const good = t(compared ? "result_good" : "result_size_good", { size: texts.bytes(blob.size) });
    const save = h("a", { href: url, download: name, className: "primary" }, t("result_save", { name }));
    fill(
      place,
      h("p", { className: "buttons" }, save),
      h("p", {}, good),
      h("p", { className: "hint" }, "SHA-256 ", h("code", {}, sha256)),
    );
    append(place, previewOf(context, extensionOf(name), blob));
    context.announce(good);
  };
  const gone = () => fill(place, h("p", {}, t("result_gone")));
  let isShown = false;
  return {
    element,
    show(status) {
      if (status.state !== "COMPLETED" || isShown) return;
      isShown = true;
      element.hidden = false;
      const { download } = status;
      if (download === null || download === undefined) return gone();
      if (download.size_bytes <= AT_ONCE) return void begin();
      const size = texts.bytes(download.size_bytes);
      fill(place, h("button", { type: "button", className: "primary", click: () => void begin() }, t("result_fetch", { size })));
    },
    drop() {
      release();
      gone();
    },
  };
}

/** A button that loads what shows the file; nothing for formats that are not shown. */
function previewOf(context: Context, extension: string, blob: Blob): HTMLElement | null {
  const { texts } = context;
  const { t } = texts;
  const isModel = MODELS.includes(extension);
  if (blob.size > SHOWN || !(isModel || DRAWINGS.includes(extension))) return null;
  const place = h("div", { className: "preview" });
  const button = h("button", { type: "button", "aria-expanded": "false" }, t("preview"));
  let close: (() => void) | null = null;
  const open = async () => {
    fill(button, t("loading"));
    try {
      const shown = isModel
        ? await (await import("../preview/model.ts")).showModel(extension, blob, texts)
        : await (await import("../preview/drawing.ts")).showDrawing(extension, blob, texts);
      if (context.signal.aborted) return shown.close();
      fill(place, shown.element, h("p", { className: "hint" }, shown.label));
      close = shown.close;
      button.setAttribute("aria-expanded", "true");
      fill(button, t("preview_close"));
    } catch {
      fill(place, h("p", { role: "alert" }, t("preview_failed")));
      fill(button, t("preview"));
    }
  };
  const shut = () => {
    close?.();
    close = null;
    fill(place);
    fill(button, t("preview"));
    button.setAttribute("aria-expanded", "false");
  };
  button.addEventListener("click", () => (close === null ? void open() : shut()));
  context.signal.addEventListener("abort", () => close?.(), { once: true });
  return h("div", {}, button, place);
}
