// Choosing a file or a folder, by a button or by dropping it.

import { dropped, filesOf } from "../archive/folder.ts";
import { h } from "../dom.ts";
import type { Texts } from "../language.ts";
import { type Source, isFolder, ofFile, ofFolder } from "../source.ts";

/** The buttons and the place to drop. `chosen` is called with what was chosen, or with what is wrong. */
export function chooser(texts: Texts, chosen: (source: Source) => void, wrong: (text: string) => void): HTMLElement {
  const { t } = texts;
  const take = (source: Source) => {
    if (source.files.length === 0) wrong(t("empty_folder"));
    else if (source.kind === "file" && source.size === 0) wrong(t("empty_file"));
    else chosen(source);
  };
  const one = h("input", { type: "file", className: "hidden", tabIndex: -1, "aria-hidden": "true" });
  const many = h("input", { type: "file", className: "hidden", tabIndex: -1, "aria-hidden": "true", multiple: true });
  many.webkitdirectory = true;
  one.addEventListener("change", () => {
    const file = one.files?.[0];
    if (file !== undefined) take(ofFile(file));
    // So that the same file can be chosen again.
    one.value = "";
  });
  many.addEventListener("change", () => {
    const files = filesOf(many.files ?? []);
    many.value = "";
    take(ofFolder(files));
  });
  const drop = async (event: DragEvent) => {
    event.preventDefault();
    area.classList.remove("over");
    if (event.dataTransfer === null) return;
    const files = await dropped(event.dataTransfer.items);
    const tops = new Set(files.map(({ path }) => path.split("/")[0]));
    const first = files[0];
    if (tops.size > 1) wrong(t("one_thing"));
    else if (first !== undefined && !isFolder(files)) take(ofFile(first.file));
    else take(ofFolder(files));
  };
  const over = (event: DragEvent) => {
    event.preventDefault();
    area.classList.add("over");
  };
  const area = h(
    "div",
    { className: "drop", drop, dragover: over, dragleave: () => area.classList.remove("over") },
    h("p", {}, t("choose")),
    h(
      "p",
      { className: "buttons" },
      h("button", { type: "button", click: () => one.click() }, t("choose_file")),
      h("button", { type: "button", click: () => many.click() }, t("choose_folder")),
    ),
    h("p", { className: "hint" }, t("choose_hint")),
    one,
    many,
  );
  return area;
}
