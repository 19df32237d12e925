// One job, from its upload to its end.

import { Problem } from "../client.ts";
import { append, fill, h } from "../dom.ts";
import { alertOf, explain, ofCode } from "../explain.ts";
import { follow } from "../follow/follow.ts";
import { type Status, hasEnded, waitsForUpload } from "../wire.ts";
import { resultView } from "./result.ts";
import { timeline } from "./timeline.ts";
import { uploadView } from "./upload.ts";
import type { Context } from "./view.ts";
import { stageText, stateText } from "./words.ts";

export function jobView(context: Context, id: string): HTMLElement {
  const { client, texts } = context;
  const { t } = texts;
  const title = h("h1", { tabIndex: -1 }, t("loading"));
  const unreachable = h("p", { className: "alert", hidden: true }, t("unreachable"));
  const state = h("p", { className: "state" });
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": t("stage") });
  const note = h("div", {});
  const warnings = h("section", { hidden: true });
  const until = h("p", { className: "hint" });
  const end = h("button", { type: "button", hidden: true });
  const upload = uploadView(context, id);
  const result = resultView(context, id);
  const history = timeline(context, id);
  let shown = "";
  let tenth = -1;
  let last: Status | null = null;

  const show = (status: Status) => {
    if (context.signal.aborted) return;
    last = status;
    fill(title, t("job_title", { name: status.file_name, format: status.target_format }));
    upload.show(status);
    const isRunning = status.state === "PROCESSING";
    const words = [stateText(texts, status)];
    if (isRunning && status.stage !== null) words.push(stageText(texts, status.stage), texts.percent(status.progress));
    if (status.attempt > 1) words.push(t("attempt", { count: status.attempt }));
    fill(state, words.join(" · "));
    bar.hidden = !isRunning;
    bar.value = status.progress;
    // Each state, each stage, and each tenth of a stage.
    const key = `${waitsForUpload(status)} ${status.state} ${status.stage}`;
    const reached = Math.floor(status.progress * 10);
    if (key !== shown || (isRunning && reached !== tenth)) context.announce(words.join(", "));
    [shown, tenth] = [key, reached];
    showWarnings(status);
    if (status.failure !== null && note.childElementCount === 0) {
      const { code, message, hint } = status.failure;
      fill(note, alertOf(ofCode(code, message, texts, hint), texts, t("failure")));
    }
    const isOver = hasEnded(status.state);
    const hasResult = status.download !== null && status.download !== undefined;
    end.hidden = isOver && status.state === "COMPLETED" && !hasResult && status.result_expires_at === null;
    end.className = isOver ? "danger" : "";
    fill(end, t(isOver ? "delete" : "cancel"));
    const expires = status.result_expires_at;
    fill(until, expires === null ? "" : t("result_until", { time: texts.time(expires) }));
    history.refresh();
  };

  const showWarnings = (status: Status) => {
    warnings.hidden = status.warnings.length === 0;
    if (warnings.hidden) return;
    const list = status.warnings.map((text) => h("li", {}, text));
    fill(warnings, h("h2", {}, t("warnings")), h("ul", { lang: "en" }, ...list));
    if (status.warnings_total > list.length) {
      const counts = { shown: list.length, total: texts.number(status.warnings_total) };
      append(warnings, h("p", {}, t("warnings_more", counts)));
    }
    if (status.losses > 0) append(warnings, h("p", {}, t("losses", { count: texts.number(status.losses) })));
  };

  end.addEventListener("click", async () => {
    const isOver = last !== null && hasEnded(last.state);
    if (!confirm(t(isOver ? "delete_sure" : "cancel_sure"))) return;
    end.disabled = true;
    try {
      await context.uploads.forget(id);
      const status = await client.end(id);
      result.drop();
      show(status);
      // What this answer has is from before the deletion, in part.
      show(await client.status(id, context.signal));
      if (isOver) {
        fill(until, t("deleted"));
        context.announce(t("deleted"));
        end.hidden = true;
      }
      title.focus();
    } catch (error) {
      if (!context.signal.aborted) fill(note, alertOf(explain(error, texts), texts, t("error")));
    } finally {
      end.disabled = false;
    }
  });

  const watch = async () => {
    const reachable = (is: boolean) => {
      unreachable.hidden = is;
    };
    try {
      const status = await follow(client, id, { status: show, reachable }, context.signal);
      result.show(status);
    } catch (error) {
      if (context.signal.aborted) return;
      if (last === null) fill(title, t("job_id", { id }));
      fill(note, alertOf(explain(error, texts), texts, t("error")));
      if (error instanceof Problem && client.isRefused(error)) context.signInAgain();
    }
  };
  void watch();
  return h(
    "article",
    {},
    title,
    h("p", { className: "hint" }, t("job_id", { id })),
    unreachable,
    state,
    bar,
    upload.element,
    note,
    result.element,
    warnings,
    h("p", { className: "buttons" }, end),
    until,
    history.element,
  );
}
