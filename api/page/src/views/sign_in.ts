// The form for a token.

import { Client, Problem } from "../client.ts";
import { field, fill, h } from "../dom.ts";
import { alertOf, explain } from "../explain.ts";
import type { Texts } from "../language.ts";

/** Asks for a token until the server accepts one. */
export function signIn(texts: Texts, signedIn: (client: Client) => void): HTMLElement {
  const { t } = texts;
  const token = h("input", { type: "password", required: true, autocomplete: "off", spellcheck: false });
  const failed = h("div", {});
  const button = h("button", { type: "submit", className: "primary" }, t("sign_in"));
  const submit = async (event: Event) => {
    event.preventDefault();
    button.disabled = true;
    const client = new Client(token.value.trim());
    try {
      await client.jobs(null, 1);
      token.value = "";
      signedIn(client);
    } catch (error) {
      fill(failed, alertOf(explain(error, texts), texts, t("error")));
      if (error instanceof Problem && error.status === 401) token.select();
    } finally {
      button.disabled = false;
    }
  };
  return h(
    "section",
    {},
    h("h1", { tabIndex: -1 }, t("sign_in")),
    h("p", {}, t("sign_in_why")),
    h("form", { submit }, field(t("token"), token), button),
    failed,
  );
}
