// What went wrong, in the reader's language.

import { NETWORK, Problem } from "./client.ts";
import { h } from "./dom.ts";
import type { Texts } from "./language.ts";
import { DownloadFailed, NotTheResult } from "./result.ts";
import { SourceChanged, UploadRefused } from "./upload/uploader.ts";

export interface Explanation {
  meaning: string;
  /** The server's own words on this occurrence, in English; empty if it has none. */
  detail: string;
  hint: string;
  code: string;
}

export function explain(error: unknown, texts: Texts): Explanation {
  const own = (meaning: string, hint: string, code: string): Explanation => ({ meaning, hint, code, detail: "" });
  const { t } = texts;
  if (error instanceof Problem && error.code !== NETWORK) return ofCode(error.code, error.detail, texts);
  const isCut = error instanceof Problem || (error instanceof DownloadFailed && error.status === 0);
  if (isCut) return own(t("error_network"), t("error_network_hint"), NETWORK);
  if (error instanceof SourceChanged) return own(t("error_source"), t("error_source_hint"), "page.source_changed");
  if (error instanceof NotTheResult) return own(t("error_differs"), t("error_differs_hint"), "page.result_differs");
  if (error instanceof UploadRefused || error instanceof DownloadFailed) {
    return own(t("error_store", { status: error.status }), t("error_store_hint"), "page.store");
  }
  return own(t("error_unknown"), t("error_unknown_hint"), "page.error");
}

/** A failure of the catalogue. The page may be older than the server: then its own words have to do. */
export function ofCode(code: string, detail: string, texts: Texts, hint = ""): Explanation {
  const known = texts.failure(code);
  return { meaning: known?.meaning ?? code, detail, hint: known?.hint ?? hint, code };
}

/** The explanation as an alert, which screen readers speak at once. */
export function alertOf(explanation: Explanation, texts: Texts, title: string): HTMLElement {
  const { meaning, detail, hint, code } = explanation;
  return h(
    "div",
    { role: "alert", className: "alert" },
    h("strong", {}, title),
    h("p", {}, meaning),
    detail === "" ? null : h("p", { lang: "en", className: "detail" }, detail),
    hint === "" ? null : h("p", {}, texts.t("what_to_do", { hint })),
    h("p", { className: "hint" }, texts.t("failure_code", { code })),
  );
}
