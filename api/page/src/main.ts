// Starts the page: the language, who asks, and the view of the address.

import { Client, Problem } from "./client.ts";
import { append, fill, h } from "./dom.ts";
import { alertOf, explain } from "./explain.ts";
import { LANGUAGES, type Language, type Texts, load, preferred } from "./language.ts";
import { Uploads } from "./running.ts";
import { jobList } from "./views/jobs.ts";
import { jobView } from "./views/job.ts";
import { orderForm } from "./views/order.ts";
import { signIn } from "./views/sign_in.ts";
import type { Context } from "./views/view.ts";

const JOB = /^#\/jobs\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

class Page {
  #texts: Texts;
  #client: Client | null = null;
  #uploads = new Uploads();
  #leaving = new AbortController();
  #hasToken = false;
  readonly #live = h("p", { role: "status", "aria-live": "polite", className: "unseen" });
  readonly #header = h("header", {});
  readonly #main = h("main", { id: "main" });

  constructor(texts: Texts) {
    this.#texts = texts;
    append(document.body, this.#header, this.#main, this.#live);
    addEventListener("hashchange", () => void this.#show());
    addEventListener("beforeunload", (event) => {
      if (this.#uploads.isAnyActive) event.preventDefault();
    });
  }

  async start(): Promise<void> {
    this.#frame();
    const client = new Client(null);
    try {
      // A server without authentication answers without a token.
      await client.jobs(null, 1);
      this.#client = client;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) return this.#failed(error);
    }
    await this.#show();
  }

  #failed(error: unknown): void {
    const { t } = this.#texts;
    const again = h("button", { type: "button", click: () => void this.start() }, t("again"));
    fill(this.#main, h("h1", { tabIndex: -1 }, t("title")), alertOf(explain(error, this.#texts), this.#texts, t("error")), again);
  }

  /** Everything that does not depend on the view. */
  #frame(): void {
    const { t, language } = this.#texts;
    document.documentElement.lang = language;
    // No file's name: titles are kept in the browser's history.
    document.title = "cadmill";
    const languages = h(
      "select",
      { "aria-label": t("language") },
      ...LANGUAGES.map(([value, name]) => h("option", { value, lang: value, selected: value === language }, name)),
    );
    languages.addEventListener("change", () => void this.#speak(languages.value as Language));
    const out = h("button", { type: "button", hidden: !this.#hasToken, click: () => this.#signOut() }, t("sign_out"));
    const skip = h("a", { href: "#main", className: "skip" }, t("skip"));
    skip.addEventListener("click", (event) => {
      event.preventDefault();
      this.#focus();
    });
    fill(
      this.#header,
      skip,
      h("a", { href: "#/", className: "brand" }, "cadmill"),
      h("nav", { "aria-label": "cadmill" }, h("a", { href: "#/" }, t("home"))),
      languages,
      out,
    );
  }

  async #speak(language: Language): Promise<void> {
    this.#texts = await load(language);
    const address = new URL(location.href);
    address.searchParams.set("lang", language);
    history.replaceState(null, "", address);
    this.#frame();
    await this.#show(false);
    this.#header.querySelector("select")?.focus();
  }

  #signOut(): void {
    if (this.#uploads.isAnyActive && !confirm(this.#texts.t("leave"))) return;
    this.#uploads.stopAll();
    this.#client?.forget();
    [this.#client, this.#hasToken] = [null, false];
    this.#frame();
    void this.#show();
  }

  async #show(takeFocus = true): Promise<void> {
    this.#leaving.abort();
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    const client = this.#client;
    if (client === null) {
      const form = signIn(this.#texts, (signed) => {
        [this.#client, this.#hasToken] = [signed, true];
        this.#frame();
        void this.#show();
      });
      fill(this.#main, form);
      form.querySelector("input")?.focus();
      return;
    }
    const context: Context = {
      client,
      texts: this.#texts,
      uploads: this.#uploads,
      signal,
      announce: (text) => fill(this.#live, text),
      go: (address) => {
        location.hash = address;
      },
      signInAgain: () => {
        if (signal.aborted) return;
        [this.#client, this.#hasToken] = [null, false];
        void this.#show();
      },
    };
    const [, job] = JOB.exec(location.hash) ?? [];
    if (job !== undefined) {
      fill(this.#main, jobView(context, job));
    } else {
      try {
        const engines = await client.formats();
        if (signal.aborted) return;
        fill(this.#main, orderForm(context, engines), jobList(context));
      } catch (error) {
        if (!signal.aborted) this.#failed(error);
      }
    }
    if (takeFocus) this.#focus();
  }

  #focus(): void {
    this.#main.querySelector("h1")?.focus();
  }
}

void load(preferred(location.search, navigator.languages)).then((texts) => new Page(texts).start());
