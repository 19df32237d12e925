// What the views have in common.

import type { Client } from "../client.ts";
import type { Texts } from "../language.ts";
import type { Uploads } from "../running.ts";

/** What a view is given. */
export interface Context {
  client: Client;
  texts: Texts;
  uploads: Uploads;
  /** Aborted when the view is left. */
  signal: AbortSignal;
  /** Says a text to screen readers, when they have finished what they say. */
  announce(text: string): void;
  /** Shows the view of an address such as `#/jobs/ID`. */
  go(address: string): void;
  /** Asks for a token again. */
  signInAgain(): void;
}
