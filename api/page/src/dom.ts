// Elements from code. Text is always set as text: nothing of a file or of the server becomes markup.

type Child = Node | string | null | undefined;

interface Properties {
  [name: string]: unknown;
}

/** An element with these properties and children. Names with a hyphen, `for`, `role` and `lang` are
 * attributes, functions are listeners, and everything else is a property. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "function") element.addEventListener(name, value as EventListener);
    else if (name.includes("-") || name === "for" || name === "role" || name === "lang") {
      element.setAttribute(name, String(value));
    } else {
      (element as unknown as Properties)[name] = value;
    }
  }
  append(element, ...children);
  return element;
}

/** Adds the children that are there. */
export function append(parent: Node, ...children: Child[]): void {
  for (const child of children) if (child !== null && child !== undefined) parent.appendChild(node(child));
}

/** Replaces all children. */
export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(...children.filter((child) => child !== null && child !== undefined).map((child) => node(child!)));
}

function node(child: Node | string): Node {
  return typeof child === "string" ? document.createTextNode(child) : child;
}

/** A new id for an element that a label names. */
let count = 0;
export function newId(): string {
  return `e${++count}`;
}

/** A labelled control. */
export function field(label: string, control: HTMLElement, hint?: string): HTMLElement {
  control.id ||= newId();
  const children: Child[] = [h("label", { for: control.id }, label), control];
  if (hint !== undefined) {
    const id = newId();
    control.setAttribute("aria-describedby", id);
    children.push(h("p", { id, className: "hint" }, hint));
  }
  return h("div", { className: "field" }, ...children);
}
