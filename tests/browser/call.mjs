// Drives one RTCPeerConnection in Chromium. Commands come in on standard input and results leave on standard output,
// one JSON object a line:
//   {"do":"offer"}                -> {"sdp":…}        the page's offer, candidates included
//   {"do":"answer","sdp":…}       -> {"sdp":…}        the page's answer to this offer
//   {"do":"accept","sdp":…}       -> {}               the answer to the page's offer
//   {"do":"connected"}            -> {"connected":…}  waits for the connection, 15 s at most
//   {"do":"listen","seconds":N}   -> {"peaks":[Hz,…]} the strongest frequencies heard meanwhile, and statistics
//   {"do":"restart"}              -> {"sdp":…}        an offer that restarts ICE
//   {"do":"end"}                  -> {}               closes the browser

import { createInterface } from "node:readline";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const tone = Number(process.argv[2] ?? 1000);
const profile = mkdtempSync(join(tmpdir(), "sallyport-chromium-"));

const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
  ],
});
const page = browser.pages()[0] ?? (await browser.newPage());
await page.goto("file://" + join(dirname(fileURLToPath(import.meta.url)), "call.html"));
await page.evaluate((frequency) => window.call.prepare(frequency), tone);

async function answerTo(command) {
  switch (command.do) {
    case "offer":
      return { sdp: await page.evaluate(() => window.call.offer(false)) };
    case "restart":
      return { sdp: await page.evaluate(() => window.call.offer(true)) };
    case "answer":
      return { sdp: await page.evaluate((sdp) => window.call.answer(sdp), command.sdp) };
    case "accept":
      await page.evaluate((sdp) => window.call.accept(sdp), command.sdp);
      return {};
    case "connected":
      return { connected: await page.evaluate(() => window.call.connected(15000)) };
    case "listen":
      return await page.evaluate((seconds) => window.call.listen(seconds), command.seconds);
    case "end":
      return {};
    default:
      throw new Error(`unknown command ${command.do}`);
  }
}

const lines = createInterface({ input: process.stdin });
process.stdout.write(JSON.stringify({ ready: true }) + "\n");
for await (const line of lines) {
  const command = JSON.parse(line);
  let result;
  try {
    result = await answerTo(command);
  } catch (error) {
    result = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(result) + "\n");
  if (command.do === "end") break;
}
lines.close();
await browser.close();
rmSync(profile, { recursive: true, force: true });
process.exit(0);
