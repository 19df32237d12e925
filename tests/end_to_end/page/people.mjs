// What people do with the page, from signing in to deleting: `node people.mjs WORLD`, where WORLD is JSON
// with the addresses and files that tests/end_to_end/page/mod.rs has made.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Browser, choose, signIn, tabTo, until } from "./browser.mjs";
import { Relay } from "./relay.mjs";

const world = JSON.parse(process.argv[2]);
const app = `${world.url}/app/`;
const relay = new Relay(world.relay, world.store);
const browser = await Browser.start(world);
const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Saves the result that the page offers, and compares it with the digest that the page shows. */
async function save(page, link) {
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: link }).click();
  const path = join(world.scratch, `saved-${Math.random()}`);
  await (await download).saveAs(path);
  assert.equal(sha256(path), await page.locator("code").textContent());
  return readFileSync(path);
}

const scenarios = {
  /** By keys alone, in English; the page is small, and keeps nothing. */
  async "a file is converted without a mouse"() {
    const page = await browser.page({ locale: "en-US" });
    await page.goto(app);
    await browser.assertAccessible(page, "sign in");
    await signIn(page, "not-the-token");
    await page.getByText("The token is not one that this server accepts.").waitFor();
    await page.keyboard.type(world.token);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Convert a file" }).waitFor();
    const weight = await page.evaluate(() =>
      performance.getEntries().filter(({ encodedBodySize, name }) => encodedBodySize > 0 && name.includes("/app/"))
        .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
    );
    assert.ok(weight > 10_000 && weight < 60_000, `the first load has ${weight} bytes`);
    console.log(`first load: ${weight} bytes`);

    const button = page.getByRole("button", { name: "Choose a file" });
    await tabTo(page, button);
    await choose(page, button, join(world.fixtures, "mesh/logo3d_obj.zip"));
    await page.getByText("logo3d_obj.zip,").first().waitFor();
    // The focus is in the list of formats.
    await page.keyboard.type("glb");
    assert.equal(await page.getByLabel("Output format").inputValue(), "glb");
    await browser.assertAccessible(page, "order");
    await tabTo(page, page.getByRole("button", { name: "Convert", exact: true }));
    await page.keyboard.press("Enter");
    await page.getByText("Size and SHA-256 are those that the server recorded.").first().waitFor();
    const glb = await save(page, "Save");
    assert.equal(glb.subarray(0, 4).toString(), "glTF");

    // What shows models is loaded only now.
    assert.ok(!browser.requests.some((url) => url.includes("/model-")));
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByRole("img", { name: /Model, [1-9]/ }).waitFor();
    assert.ok(browser.requests.some((url) => url.includes("/model-")));
    await browser.assertAccessible(page, "result");
    await browser.picture(page, "result");

    const kept = await page.evaluate(async () => [
      localStorage.length, sessionStorage.length, document.cookie, (await indexedDB.databases()).length,
    ]);
    assert.deepEqual(kept.slice(0, 3), [0, 0, ""]);
    await page.getByRole("button", { name: "Delete now" }).click();
    await page.getByText("The file and the result are deleted.").first().waitFor();
    await page.getByText("What happened to my file").click();
    await page.getByText(/Deleted and looked for again: [1-9]/).first().waitFor();
    await page.getByText(/Ledger .* records/).first().waitFor();
    await browser.assertAccessible(page, "timeline");
    // The policy is in force, and a violation would be noticed.
    assert.deepEqual(browser.complaints, []);
    await page.evaluate(() => document.head.append(Object.assign(document.createElement("style"), { textContent: "p {}" })));
    // By the browser itself, and by the event.
    await until("the violation is reported", () => browser.complaints.length === 2);
    browser.complaints = [];
    await page.context().close();
  },

  /** 20 MB in parts; the network is cut at half, the page is loaded again, and only the rest is sent. */
  async "an upload survives a cut network and a reload"() {
    const page = await browser.page({ locale: "en-US" });
    await page.goto(app);
    await signIn(page, world.token);
    await choose(page, page.getByRole("button", { name: "Choose a file" }), world.large);
    await page.getByLabel("Output format").selectOption("dxf");
    await page.getByLabel(/dxf.version/).selectOption("R2010");
    relay.arrived.clear();
    relay.holdFrom = 3;
    await page.getByRole("button", { name: "Convert", exact: true }).click();
    await until("half of the file has arrived", async () => (await progress(page)) > 0.5 && relay.arrived.size === 2);
    await page.context().setOffline(true);
    relay.cut();
    await page.getByText(/No connection\./).first().waitFor();
    await browser.assertAccessible(page, "upload");
    await browser.picture(page, "upload");

    // With the third part in, and the last one on its way, the page is loaded again.
    relay.holdFrom = 4;
    relay.mend();
    await page.context().setOffline(false);
    await until("three quarters have arrived", async () => (await progress(page)) > 0.7 && relay.arrived.size === 3);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText(/^Paused at/).first().waitFor();
    await page.getByRole("button", { name: "Continue" }).click();
    await until("the last part is on its way again", () => relay.parts.at(-1) === 4);
    await page.reload();
    relay.cut();
    relay.mend();
    [relay.holdFrom, relay.parts] = [Infinity, []];
    await signIn(page, world.token);
    await page.getByRole("heading", { name: "Continue the upload" }).waitFor();
    await browser.assertAccessible(page, "resume");
    await choose(page, page.getByRole("button", { name: "Choose a file" }), join(world.fixtures, "mesh/logo3d_obj.zip"));
    await page.getByText(/This is another file/).waitFor();
    await choose(page, page.getByRole("button", { name: "Choose a file" }), world.large);
    await page.getByText("Size and SHA-256 are those that the server recorded.").first().waitFor();
    assert.deepEqual(relay.parts, [4], "only the rest is sent");
    assert.match((await save(page, "Save")).toString("latin1"), /^\s+0\r?\nSECTION/);
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByRole("img", { name: /Drawing, \d+ entities; 0 of other kinds/ }).waitFor();
    await page.context().close();
  },

  /** In Korean, on a narrow screen, which is what 400 % of zoom make of a wide one. */
  async "a failure is explained in Korean"() {
    const page = await browser.page({ locale: "ko-KR", viewport: { width: 320, height: 640 } });
    await page.goto(app);
    await signIn(page, world.token);
    await page.getByRole("heading", { name: "파일 변환" }).waitFor();
    assert.equal(await page.locator("html").getAttribute("lang"), "ko");
    await assertFits(page);
    await choose(page, page.getByRole("button", { name: "파일 선택" }), join(world.fixtures, "hostile/moon_aborts_assimp.3mf"));
    await page.getByLabel("출력 형식").selectOption("glb");
    await browser.assertAccessible(page, "order in Korean");
    await assertFits(page);
    await page.getByRole("button", { name: "변환", exact: true }).click();
    await page.getByText("이 파일에서 엔진이 비정상 종료되었습니다.").waitFor();
    await page.getByText("코드: engine.crashed").waitFor();
    await page.getByText("내 파일에 일어난 일").click();
    await page.getByText("작업이 생성됨").waitFor();
    await browser.assertAccessible(page, "failure in Korean");
    await assertFits(page);
    await browser.picture(page, "failure-ko");
    await page.getByLabel("언어").selectOption("en");
    await page.getByText("The engine crashed on the file.").waitFor();
    assert.equal(await page.locator("html").getAttribute("lang"), "en");
    await page.getByRole("link", { name: "cadmill" }).click();
    await page.getByRole("link", { name: "moon_aborts_assimp.3mf" }).first().waitFor();
    await browser.assertAccessible(page, "jobs");
    await assertFits(page);
    await page.context().close();
  },

  /** A folder becomes an archive; a job is cancelled while its file is on its way. */
  async "a folder is converted, and a job is cancelled"() {
    const folder = join(world.scratch, "지도");
    mkdirSync(folder);
    execFileSync("unzip", ["-q", join(world.fixtures, "gis/naturalearth_lowres.zip"), "-d", folder]);
    const page = await browser.page({ locale: "en-US" });
    await page.goto(app);
    await signIn(page, world.token);
    await choose(page, page.getByRole("button", { name: "Choose a folder" }), folder);
    await page.getByText(/지도\.zip: \d+ files/).first().waitFor();
    await page.getByLabel("Output format").selectOption("geojson");
    await page.getByRole("button", { name: "Convert", exact: true }).click();
    await page.getByText("Size and SHA-256 are those that the server recorded.").first().waitFor();
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByRole("img", { name: "Drawing, 177 features" }).waitFor();

    await page.getByRole("link", { name: "Convert" }).click();
    await choose(page, page.getByRole("button", { name: "Choose a file" }), world.large);
    await page.getByLabel("Output format").selectOption("dxf");
    relay.holdFrom = 1;
    await page.getByRole("button", { name: "Convert", exact: true }).click();
    await page.getByRole("button", { name: "Cancel the job" }).click();
    await page.getByText("cancelled").first().waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.context().close();
  },
};

const progress = (page) => page.getByRole("progressbar", { name: "Upload" }).evaluate((bar) => bar.value).catch(() => 0);

/** Nothing but tables, in their own frames, is wider than the screen. */
async function assertFits(page) {
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= screen, `the page is ${wide} wide on a screen of ${screen}`);
}

try {
  for (const [name, scenario] of Object.entries(scenarios)) {
    const begun = Date.now();
    await scenario();
    console.log(`${name}: ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  }
  assert.deepEqual(browser.complaints, []);
  assert.deepEqual(browser.requests.filter((url) => url.includes(world.token)), []);
} finally {
  await browser.close();
  relay.close();
}
