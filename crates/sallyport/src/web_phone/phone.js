// The page: what the buttons do, and what it shows.

import { factsOf } from "./facts.js";
import { Bell } from "./bell.js";
import { Agent } from "./sip.js";

const element = (id) => document.getElementById(id);
const show = (id, visible) => (element(id).hidden = !visible);

const REGISTRATION = {
  off: ["signed out", "off"],
  connecting: ["connecting …", "busy"],
  registered: ["ready", "on"],
};
const STATES = {
  calling: "calling …",
  ringing: "ringing …",
  connected: "connected",
};

const bell = new Bell();
let agent = null;
let call = null;

function problem(words) {
  element("problem").textContent = words;
  show("problem", words !== "");
}

element("account").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!window.isSecureContext) {
    return problem("Browsers give pages microphone and cryptography only over HTTPS, or on localhost.");
  }
  const url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/sip`;
  const account = { user: element("user").value.trim(), password: element("password").value };
  bell.prepare();
  agent?.disconnect();
  const own = new Agent(url, location.hostname, account);
  own.addEventListener("change", () => own === agent && showAgent());
  own.addEventListener("call", ({ detail }) => own === agent && take(detail));
  agent = own;
  agent.connect();
});

element("sign-out").addEventListener("click", () => agent.disconnect());

// Who leaves the page hangs up. (At `pagehide` what is sent does not leave any more.)
window.addEventListener("beforeunload", () => agent?.disconnect());

element("dialler").addEventListener("submit", (event) => {
  event.preventDefault();
  dial(element("target").value.trim());
});

element("echo").addEventListener("click", () => dial("echo"));

element("answer").addEventListener("click", async () => {
  const answered = call;
  const stream = await microphone();
  if (stream) answered.answer(stream);
  else answered.hangUp();
});

for (const id of ["decline", "hang-up"]) element(id).addEventListener("click", () => call?.hangUp());

element("mute").addEventListener("click", ({ currentTarget: button }) => {
  const muted = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(muted));
  call.muted = muted;
});

async function dial(target) {
  if (call?.isLive) return;
  problem("");
  const stream = await microphone();
  // Somebody may have called meanwhile.
  if (!stream) return;
  if (call?.isLive || agent?.state !== "registered") return stream.getTracks().forEach((track) => track.stop());
  take(agent.dial(target, stream));
}

/** What we say. Null: the user does not want to, or there is nothing to say it with. */
async function microphone() {
  const processed = !element("raw").checked;
  const audio = { echoCancellation: processed, noiseSuppression: processed, autoGainControl: processed };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    problem(`No microphone: ${error.message}`);
    return null;
  }
}

function take(next) {
  call = next;
  element("mute").setAttribute("aria-pressed", "false");
  for (const id of ["security", "media"]) element(id).replaceChildren();
  call.addEventListener("change", () => next === call && showCall());
  showCall();
}

function showAgent() {
  const [words, state] = REGISTRATION[agent.state];
  element("registration").textContent = words;
  element("registration").dataset.state = state;
  problem(agent.problem);
  showForms();
}

/** Without a call there is one to sign in with, or to call with. */
function showForms() {
  const isRegistered = agent.state === "registered";
  show("account", !isRegistered && !call?.isLive);
  show("dial", isRegistered && !call?.isLive);
}

function showCall() {
  const live = call.isLive;
  show("incoming", call.state === "incoming");
  show("active", live && call.state !== "incoming");
  showForms();
  element("caller").textContent = call.party;
  element("party").textContent = call.party;
  const connecting = call.state === "connected" && call.connection !== "connected";
  element("state").textContent = connecting ? "connecting media …" : (STATES[call.state] ?? "");
  bell.ringing = call.state === "incoming";
  document.title = call.state === "incoming" ? `${call.party} is calling` : "Sallyport phone";
  const remote = element("remote");
  if (live && remote.srcObject !== call.remoteStream) remote.srcObject = call.remoteStream;
  if (!live) {
    remote.srcObject = null;
    problem(["ended by you", "cancelled", "declined"].includes(call.why) ? "" : `The call ended: ${call.why}`);
  }
}

function showFacts(id, rows) {
  const nodes = rows.flatMap(([name, value]) => {
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = String(value);
    return [term, description];
  });
  element(id).replaceChildren(...nodes);
}

setInterval(async () => {
  const shown = call;
  const report = shown?.isLive ? await shown.statistics() : null;
  if (!report || shown !== call) return;
  const { security, media } = factsOf(report);
  showFacts("security", security);
  showFacts("media", media);
}, 1000);
