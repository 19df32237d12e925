// Chromium, and what the tests ask of it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Longest wait for anything, in milliseconds. */
const PATIENCE = 40_000;

export class Browser {
  #chromium;
  #axe;
  /** Console messages and events that say that the policy was violated, and errors of scripts. */
  complaints = [];
  /** Addresses of every request. */
  requests = [];

  static async start(world) {
    const load = createRequire(join(world.packages, "x.js"));
    const browser = new Browser();
    browser.world = world;
    browser.#axe = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
    browser.#chromium = await load("playwright-core").chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      // Tests run as root, and without a graphics card.
      args: ["--no-sandbox", "--enable-unsafe-swiftshader"],
    });
    return browser;
  }

  /** A page of a new profile. */
  async page(options = {}) {
    const context = await this.#chromium.newContext({ viewport: { width: 1100, height: 900 }, ...options });
    context.setDefaultTimeout(PATIENCE);
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => console.error(`violation: ${event.violatedDirective} ${event.blockedURI}`));
    });
    const page = await context.newPage();
    page.on("console", (message) => {
      if (/violation|Content Security Policy|TrustedHTML/.test(message.text())) this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("request", (request) => this.requests.push(request.url()));
    page.on("dialog", (dialog) => dialog.accept());
    return page;
  }

  /** Asserts that nothing on the page is an obstacle, by the rules of axe for WCAG 2.2 A and AA. */
  async assertAccessible(page, what) {
    // As a debugger would, so the policy of the page does not apply.
    await page.evaluate(this.#axe);
    const found = await page.evaluate(() =>
      globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
    );
    const lines = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    assert.deepEqual(lines, [], what);
    assert.ok(found.passes.length > 5, "axe has checked something");
  }

  async picture(page, name) {
    await page.screenshot({ path: join(this.world.pictures, `page-${name}.png`), fullPage: true });
  }

  async close() {
    await this.#chromium.close();
  }
}

/** Signs in with the token, by keys alone. */
export async function signIn(page, token) {
  await page.getByLabel(/^(Token|토큰)$/).waitFor();
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
}

/** Moves the focus to an element by the Tab key, as people without a mouse do. */
export async function tabTo(page, element) {
  for (let presses = 0; presses < 60; presses++) {
    if (await element.evaluate((node) => node === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail("the Tab key does not lead there");
}

/** Chooses a file, or the files of a folder, behind this button. */
export async function choose(page, button, path) {
  const chooser = page.waitForEvent("filechooser");
  await button.focus();
  await page.keyboard.press("Enter");
  await (await chooser).setFiles(path);
}

/** Waits until this holds. */
export async function until(what, holds) {
  const begun = Date.now();
  while (!(await holds())) {
    assert.ok(Date.now() - begun < PATIENCE, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
