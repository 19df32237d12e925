// What happened to a file: the times of the job, the ledgers of its attempts, and the deletions.

import { append, fill, h } from "../dom.ts";
import { alertOf, explain } from "../explain.ts";
import type { Texts } from "../language.ts";
import type { Audit, Status } from "../wire.ts";
import type { Context } from "./view.ts";
import { stageText, stateText } from "./words.ts";

export interface Line {
  /** RFC 3339; null for what has no time of its own. */
  at: string | null;
  text: string;
}

/** The lines, in the order of what happened. */
export function linesOf(status: Status, audit: Audit, texts: Texts): Line[] {
  const { t, number, duration } = texts;
  const lines: Line[] = [{ at: status.created_at, text: t("timeline_created") }];
  if (status.uploaded_at !== null) lines.push({ at: status.uploaded_at, text: t("timeline_uploaded") });
  if (status.claimed_at !== null) {
    lines.push({ at: status.claimed_at, text: t("timeline_claimed", { count: status.attempt }) });
    for (const [stage, millis] of Object.entries(status.stage_millis)) {
      if (millis === null) continue;
      lines.push({ at: null, text: t("timeline_stage", { stage: stageText(texts, stage), time: duration(millis) }) });
    }
  }
  for (const { attempt, head, signature } of audit.attempts) {
    if (attempt === 0) continue;
    const parameters = { ledger: head.ledger, records: number(head.last_seq + 1) };
    lines.push({ at: null, text: t(signature === null ? "timeline_unsigned" : "timeline_signed", parameters) });
  }
  if (status.ended_at !== null) {
    lines.push({ at: status.ended_at, text: t("timeline_ended", { state: stateText(texts, status) }) });
  }
  for (const { confirmed_at, objects } of audit.deletions) {
    lines.push({ at: confirmed_at, text: t("timeline_deleted", { objects: number(objects) }) });
  }
  if (audit.deletions.length === 0) lines.push({ at: null, text: t("timeline_none") });
  return lines;
}

/** The timeline of a job, read when it is opened. `refresh` reads it again if it is open. */
export function timeline(context: Context, id: string): { element: HTMLElement; refresh: () => void } {
  const { client, texts } = context;
  const { t } = texts;
  const place = h("div", {});
  const read = async () => {
    try {
      const [status, audit] = await Promise.all([client.status(id, context.signal), client.audit(id)]);
      const items = linesOf(status, audit, texts).map(({ at, text }) =>
        h("li", {}, at === null ? null : h("time", { dateTime: at }, texts.time(at)), at === null ? text : ` ${text}`),
      );
      fill(place, h("ol", { className: "timeline" }, ...items), h("p", { className: "hint" }, t("timeline_how")));
    } catch (error) {
      if (context.signal.aborted) return;
      fill(place, alertOf(explain(error, texts), texts, t("error")));
    }
  };
  const element = h("details", {}, h("summary", {}, t("timeline")));
  append(element, place);
  element.addEventListener("toggle", () => {
    if (element.open) void read();
  });
  return { element, refresh: () => void (element.open && read()) };
}
