// Drives the web phone in Chromium as its user does. Commands come in on standard input and results leave on standard
// output, one JSON object a line; `id` is that of an element of the page:
//   {"do":"open","url":…}                 -> {}            loads the page
//   {"do":"fill","id":…,"value":…}        -> {}            types into a field
//   {"do":"click","id":…}                 -> {}            clicks
//   {"do":"wait","id":…,"text":…}         -> {"text":…}    waits until it is visible and has this text, 20 s at most
//   {"do":"hidden","id":…}                -> {}            waits until it is not visible, 20 s at most
//   {"do":"facts","id":…}                 -> {name:value}  what a list of facts says
//   {"do":"listen","seconds":N}           -> {"peaks":[Hz,…]} the strongest frequencies of what is played meanwhile
//   {"do":"errors"}                       -> {"errors":[]} what the page has logged as errors
//   {"do":"end"}                          -> {}            closes the browser
// The first argument is the folder of the browser's profile, the second a WAVE file that the microphone hears.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [profile, microphone] = process.argv.slice(2);
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
    `--use-file-for-fake-audio-capture=${microphone}`,
  ],
});
const page = browser.pages()[0] ?? (await browser.newPage());
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
const patience = { timeout: 20_000 };

/** In the page: the strongest frequency in every tenth of a second. */
async function listen(seconds) {
  const context = new AudioContext();
  await context.resume();
  const analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  context.createMediaStreamSource(document.getElementById("remote").srcObject).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  const peaks = [];
  for (let tenth = 0; tenth < seconds * 10; tenth += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    analyser.getFloatFrequencyData(bins);
    const loudest = bins.reduce((best, value, bin) => (value > bins[best] ? bin : best), 0);
    peaks.push(bins[loudest] > -60 ? (loudest * context.sampleRate) / analyser.fftSize : null);
  }
  await context.close();
  return { peaks };
}

async function answerTo(command) {
  const element = page.locator(`#${command.id}`);
  switch (command.do) {
    case "open":
      await page.goto(command.url);
      return {};
    case "fill":
      await element.fill(command.value, patience);
      return {};
    case "click":
      await element.click(patience);
      return {};
    case "wait":
      await element.filter({ hasText: command.text }).waitFor({ state: "visible", ...patience });
      return { text: await element.textContent() };
    case "hidden":
      await element.waitFor({ state: "hidden", ...patience });
      return {};
    case "facts":
      return await element.evaluate((list) => {
        const words = (name) => [...list.querySelectorAll(name)].map((node) => node.textContent);
        const values = words("dd");
        return Object.fromEntries(words("dt").map((name, index) => [name, values[index]]));
      });
    case "listen":
      return await page.evaluate(listen, command.seconds);
    case "errors":
      return { errors };
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
    result = { error: `${JSON.stringify(command)}: ${error}; the page says: ${await page.innerText("body").catch(() => "")} ${errors}` };
  }
  process.stdout.write(JSON.stringify(result) + "\n");
  if (command.do === "end") break;
}
lines.close();
await browser.close();
process.exit(0);
