// The form of an order: a file, its format, its options.

import { newJobId } from "../client.ts";
import { append, field, fill, h, newId } from "../dom.ts";
import { alertOf, explain } from "../explain.ts";
import type { Key } from "../language.ts";
import { type Choice, PRESETS, choicesOf, extensionOf, isArchive, isDrawing, targetsOf } from "../options.ts";
import { patiently } from "../patience.ts";
import { type Source, blobOf, contentsOf, markOfSource } from "../source.ts";
import type { Engine, Order } from "../wire.ts";
import { chooser } from "./chooser.ts";
import type { Context } from "./view.ts";

/** How a control is read when the order is sent; undefined if it has nothing. */
type Reader = () => [name: string, value: string] | undefined;

export function orderForm(context: Context, engines: Engine[]): HTMLElement {
  const { texts } = context;
  const { t } = texts;
  const place = h("div", {});
  const failed = h("div", {});
  const wrong = (text: string) => fill(failed, h("p", { role: "alert", className: "alert" }, text));
  const chosen = async (source: Source) => {
    fill(failed);
    const contents = await contentsOf(source);
    if (context.signal.aborted) return;
    fill(place, details(context, engines, source, contents, failed));
    context.announce(describe(context, source));
    place.querySelector("select")?.focus();
  };
  return h(
    "section",
    {},
    h("h1", { tabIndex: -1 }, t("title")),
    chooser(texts, (source) => void chosen(source), wrong),
    failed,
    place,
    catalogue(context, engines),
  );
}

function describe({ texts }: Context, source: Source): string {
  const { t, bytes, number } = texts;
  const size = bytes(source.size);
  if (source.kind === "file") return t("chosen_file", { name: source.name, size });
  return t("chosen_folder", { name: source.name, count: number(source.files.length), size });
}

/** The first one is selected. */
function select(options: [value: string, label: string][]): HTMLSelectElement {
  return h("select", {}, ...options.map(([value, label]) => h("option", { value }, label)));
}

function details(
  context: Context,
  engines: Engine[],
  source: Source,
  contents: string[] | null,
  failed: HTMLElement,
): HTMLElement {
  const { texts } = context;
  const { t } = texts;
  const groups = targetsOf(engines, contents);
  if (groups.length === 0) {
    const extensions = [...new Set(contents?.map(extensionOf))].filter((one) => one !== "").sort().join(", ");
    return h("p", { role: "alert", className: "alert" }, t("not_read", { extensions }));
  }
  const format = h(
    "select",
    { required: true },
    h("option", { value: "" }, t("format_choose")),
    ...groups.map(({ engine, targets }) =>
      h("optgroup", { label: engine.engine }, ...targets.map(({ value, label }) => h("option", { value }, label))),
    ),
  );
  const optionsPlace = h("div", {});
  let readers: Reader[] = [];
  let preset: HTMLSelectElement | null = null;
  const showOptions = () => {
    const group = groups.find(({ targets }) => targets.some(({ value }) => value === format.value));
    [readers, preset] = [[], null];
    fill(optionsPlace);
    if (group === undefined) return;
    const box = h("fieldset", {}, h("legend", {}, t("options", { engine: group.engine.engine })));
    if (isDrawing(format.value)) {
      preset = select([["", t("none")], ...PRESETS.map((name): [string, string] => [name, name])]);
      append(box, field(t("preset"), preset));
    }
    const inner = h("div", { className: "options" });
    for (const choice of choicesOf(group.engine, format.value)) append(inner, choiceField(context, choice, readers));
    append(box, inner, otherOptions(context, readers));
    append(optionsPlace, box);
  };
  format.addEventListener("change", showOptions);

  const list = h("datalist", { id: newId() }, ...candidates(contents, groups).map((value) => h("option", { value })));
  const root = h("input", { type: "text", maxLength: 1024, spellcheck: false, autocomplete: "off" });
  root.setAttribute("list", list.id);
  const compress = select([
    ["never", t("compress_never")],
    ["auto", t("compress_auto")],
    ["always", t("compress_always")],
  ]);
  const strict = h("input", { type: "checkbox" });
  const button = h("button", { type: "submit", className: "primary" }, t("convert"));
  const reading = h("p", { className: "hint" });

  const order = (size: number): Order => {
    const options = Object.fromEntries(readers.map((read) => read()).filter((pair) => pair !== undefined));
    const made: Order = {
      job_id: newJobId(),
      file_name: source.name,
      size_bytes: size,
      target_format: format.value,
      options,
      accept_encoding: ["gzip"],
    };
    if (preset !== null && preset.value !== "") made.preset = preset.value;
    if (root.value.trim() !== "") made.root = root.value.trim();
    if (compress.value !== "never") made.compress = compress.value as "auto" | "always";
    if (strict.checked) made.strict = true;
    return made;
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    button.disabled = true;
    fill(failed);
    try {
      const showRead = (fraction: number) => fill(reading, t("reading", { percent: texts.percent(fraction) }));
      const blob = await blobOf(source, showRead, context.signal);
      // One order: it may be sent again without making a second job.
      const one = order(blob.size);
      const created = await patiently(() => context.client.create(one, context.signal), context.signal);
      await context.uploads.begin(context.client, created.job_id, blob, markOfSource(source), created.upload);
      context.go(`#/jobs/${created.job_id}`);
    } catch (error) {
      if (context.signal.aborted) return;
      fill(reading);
      fill(failed, alertOf(explain(error, texts), texts, t("error")));
      button.disabled = false;
      if (context.client.isRefused(error)) context.signInAgain();
    }
  };
  return h(
    "form",
    { submit },
    h("p", { className: "chosen" }, describe(context, source)),
    field(t("format"), format),
    optionsPlace,
    source.kind === "folder" || isArchive(source.name) ? field(t("root"), root, t("root_hint")) : null,
    list,
    field(t("compress"), compress),
    h("div", { className: "field check" }, strict, labelFor(strict, t("strict"))),
    button,
    reading,
  );
}

/** Longest list of files that is offered. */
const LISTED = 200;

/** The files of an archive that one of these engines reads. */
function candidates(contents: string[] | null, groups: { engine: Engine }[]): string[] {
  const inputs = new Set(groups.flatMap(({ engine }) => engine.inputs));
  return (contents ?? []).filter((name) => inputs.has(extensionOf(name))).slice(0, LISTED);
}

function labelFor(control: HTMLElement, text: string): HTMLElement {
  control.id ||= newId();
  return h("label", { for: control.id }, text);
}

function choiceField({ texts }: Context, choice: Choice, readers: Reader[]): HTMLElement {
  const { t } = texts;
  const key = `opt_${choice.name}`;
  const word = (value: string) => (value === "yes" || value === "no" ? t(value) : value);
  const control =
    choice.values === undefined
      ? h("input", { type: "text", maxLength: 1024, spellcheck: false, placeholder: choice.example ?? "" })
      : select([["", t("default")], ...choice.values.map((value): [string, string] => [value, word(value)])]);
  readers.push(() => (control.value.trim() === "" ? undefined : [choice.name, control.value.trim()]));
  const label = texts.has(key) ? `${t(key as Key)} (${choice.name})` : choice.name;
  return field(label, control);
}

/** Rows for options that have no control of their own. */
function otherOptions({ texts }: Context, readers: Reader[]): HTMLElement {
  const { t } = texts;
  const rows = h("div", {});
  const add = () => {
    const name = h("input", { type: "text", maxLength: 64, pattern: "[A-Za-z0-9._:\\-]+", spellcheck: false });
    const value = h("input", { type: "text", maxLength: 1024, spellcheck: false });
    let isThere = true;
    readers.push(() => (isThere && name.value !== "" ? [name.value, value.value] : undefined));
    const remove = h("button", { type: "button", "aria-label": t("remove_option") }, "×");
    const row = h("div", { className: "row" }, field(t("option_name"), name), field(t("option_value"), value), remove);
    remove.addEventListener("click", () => {
      isThere = false;
      row.remove();
      button.focus();
    });
    append(rows, row);
    name.focus();
  };
  const button = h("button", { type: "button", click: add }, t("add_option"));
  return h("details", {}, h("summary", {}, t("more_options")), rows, button);
}

/** What the server reads and writes. */
function catalogue({ texts }: Context, engines: Engine[]): HTMLElement {
  const { t } = texts;
  const words = (list: string[]) => [...new Set(list)].filter((word) => word !== "").join(", ");
  const rows = engines.map((engine) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, engine.engine),
      h("td", {}, words(engine.inputs)),
      h("td", {}, words(engine.outputs.map(({ extension }) => extension))),
    ),
  );
  const head = [t("engine"), t("reads"), t("writes")].map((text) => h("th", { scope: "col" }, text));
  const table = h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows));
  return h(
    "details",
    {},
    h("summary", {}, t("reads_and_writes")),
    h("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": t("reads_and_writes") }, table),
  );
}
