// The upload of a job: its progress, and its continuation after a reload.

import { fill, h } from "../dom.ts";
import { alertOf, explain } from "../explain.ts";
import type { Key } from "../language.ts";
import type { Running } from "../running.ts";
import { type Source, blobOf, markOfSource } from "../source.ts";
import type { Progress } from "../upload/uploader.ts";
import { type Status, waitsForUpload } from "../wire.ts";
import { chooser } from "./chooser.ts";
import type { Context } from "./view.ts";

/** What screen readers hear: each tenth of the way, and each change of what is done. */
export function spoken(before: Progress | null, now: Progress): boolean {
  const tenth = (progress: Progress) => Math.floor((progress.sent / Math.max(progress.total, 1)) * 10);
  return before === null || before.phase !== now.phase || tenth(before) !== tenth(now);
}

/** The section of the upload. `show` is given each status of the job. */
export function uploadView(context: Context, id: string): { element: HTMLElement; show: (status: Status) => void } {
  const { client, texts, uploads } = context;
  const { t } = texts;
  const heading = h("h2", { tabIndex: -1 }, t("upload"));
  const bar = h("progress", { max: 1, value: 0, "aria-label": t("upload") });
  const line = h("p", {});
  const note = h("div", {});
  const pause = h("button", { type: "button" }, t("pause"));
  const resume = h("div", {});
  const element = h("section", { hidden: true }, heading, bar, line, pause, note, resume);
  let announced: Progress | null = null;
  let running: Running | null = null;
  let isOffered = false;

  const draw = () => {
    if (running === null || context.signal.aborted) return;
    const { progress, error } = running;
    element.hidden = false;
    bar.value = progress.total === 0 ? 1 : progress.sent / progress.total;
    const sizes = { sent: texts.bytes(progress.sent), total: texts.bytes(progress.total) };
    const text = t(`upload_${progress.phase}` as Key, sizes);
    fill(line, text);
    pause.hidden = error === null && (progress.phase === "completing" || progress.phase === "done");
    fill(pause, progress.phase === "paused" || error !== null ? t("continue") : t("pause"));
    if (error === null) {
      if (spoken(announced, progress)) context.announce(text);
      fill(note);
    } else if (note.childElementCount === 0) {
      fill(note, alertOf(explain(error, texts), texts, t("error")));
      if (client.isRefused(error)) context.signInAgain();
    }
    announced = progress;
  };
  const watch = (one: Running) => {
    [running, announced] = [one, null];
    one.changed = draw;
    fill(resume);
    draw();
  };
  pause.addEventListener("click", () => {
    if (running === null) return;
    if (running.error !== null) void uploads.again(client, id).then((one) => one !== null && watch(one));
    else if (running.uploader.phase === "paused") running.uploader.resume();
    else running.uploader.pause();
  });

  const offer = (status: Status) => {
    if (isOffered) return;
    isOffered = true;
    element.hidden = false;
    [bar.hidden, pause.hidden] = [true, true];
    fill(heading, t("resume"));
    const wrong = (text: string) => fill(note, h("p", { role: "alert", className: "alert" }, text));
    const chosen = async (source: Source) => {
      fill(note);
      try {
        if (source.size !== status.size_bytes) {
          return wrong(t("resume_other", { found: texts.bytes(source.size), expected: texts.bytes(status.size_bytes) }));
        }
        const showRead = (fraction: number) => fill(line, t("reading", { percent: texts.percent(fraction) }));
        const blob = await blobOf(source, showRead, context.signal);
        const mark = markOfSource(source);
        if (!(await uploads.isSame(id, mark))) {
          context.announce(t("resume_restart"));
          await client.abortUpload(id);
        }
        [bar.hidden, pause.hidden] = [false, false];
        fill(heading, t("upload"));
        watch(await uploads.begin(client, id, blob, mark, null));
        heading.focus();
      } catch (error) {
        if (!context.signal.aborted) fill(note, alertOf(explain(error, texts), texts, t("error")));
      }
    };
    fill(resume, h("p", {}, t("resume_why")), chooser(texts, (source) => void chosen(source), wrong));
  };

  const begun = uploads.get(id);
  if (begun !== null) watch(begun);
  return {
    element,
    show(status) {
      if (running === null && waitsForUpload(status)) offer(status);
      // Once it has arrived, only the job matters.
      if (!waitsForUpload(status)) {
        element.hidden = true;
        running = null;
      }
    },
  };
}
