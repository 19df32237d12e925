// The list of jobs, newest first.

import { append, fill, h } from "../dom.ts";
import { alertOf, explain } from "../explain.ts";
import type { Context } from "./view.ts";
import { stateText } from "./words.ts";

export function jobList(context: Context): HTMLElement {
  const { texts } = context;
  const { t } = texts;
  const body = h("tbody", {});
  const note = h("div", {});
  const more = h("button", { type: "button", hidden: true }, t("jobs_more"));
  const heads = (["file", "to", "size", "state", "created"] as const).map((key) => h("th", { scope: "col" }, t(key)));
  const table = h("table", { hidden: true }, h("thead", {}, h("tr", {}, ...heads)), body);
  let next: string | null = null;
  const show = async (page: string | null) => {
    try {
      const found = await context.client.jobs(page);
      if (page === null) fill(body);
      fill(note);
      for (const job of found.jobs) {
        const link = h("a", { href: `#/jobs/${job.job_id}` }, job.file_name);
        append(
          body,
          h(
            "tr",
            {},
            h("th", { scope: "row" }, link),
            h("td", {}, job.target_format),
            h("td", {}, texts.bytes(job.size_bytes)),
            h("td", {}, stateText(texts, job)),
            h("td", {}, texts.time(job.created_at)),
          ),
        );
      }
      next = found.next_page;
      more.hidden = next === null;
      table.hidden = body.childElementCount === 0;
      if (table.hidden) append(note, h("p", {}, t("jobs_none")));
      if (found.unreadable > 0) append(note, h("p", {}, t("jobs_unreadable", { count: found.unreadable })));
    } catch (error) {
      fill(note, alertOf(explain(error, texts), texts, t("error")));
      if (context.client.isRefused(error)) context.signInAgain();
    }
  };
  more.addEventListener("click", () => void show(next));
  void show(null);
  return h(
    "section",
    {},
    h("h2", {}, t("jobs")),
    h("p", {}, h("button", { type: "button", click: () => void show(null) }, t("jobs_refresh"))),
    note,
    h("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": t("jobs") }, table),
    more,
  );
}
