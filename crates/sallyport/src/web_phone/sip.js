// A SIP user agent over WebSocket (RFC 7118): connection, transactions as far as a reliable transport needs them, and
// registration. Calls are in call.js.
//
//   signed out ── connect ─► connecting ── REGISTER, 401, REGISTER ─► registered ── half of its time ─► REGISTER …
//                                ▲                                          │
//                                └───────── socket closed: wait, retry ─────┘

import { Call } from "./call.js";
import { authorization } from "./digest.js";
import { Message, tagOf, token, uriOf } from "./message.js";

/** RFC 3261 §17.1.1.2: no transaction waits longer for its first response. */
const TIMEOUT = 32_000;
/** Seconds that we ask to be registered for. */
const EXPIRES = 300;
/** How long to wait before connecting again, doubled with each failure. */
const RETRY = { first: 1_000, longest: 30_000 };

/** The agent of one user. Events: `change` (see `state` and `problem`), `call` (see `detail`: a call that comes in). */
export class Agent extends EventTarget {
  state = "off";
  problem = "";
  calls = new Map();
  #transactions = new Map();
  #registration = { callId: token(), tag: token(), counter: { value: 0 } };
  #socket = null;
  #timer = null;
  #wait = RETRY.first;

  constructor(url, domain, account) {
    super();
    this.url = url;
    this.account = account;
    this.aor = `sip:${account.user}@${domain}`;
    this.domain = domain;
    // Nobody can connect to a page: by this name it is known on its connection (RFC 7118 §5).
    this.host = `${token()}.invalid`;
    this.contact = `<sip:${account.user}@${this.host};transport=ws>`;
    this.via = url.startsWith("wss:") ? "WSS" : "WS";
  }

  connect() {
    this.#change("connecting");
    const socket = new WebSocket(this.url, "sip");
    // A body that is no text comes as bytes; all that concerns us is text.
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#register(EXPIRES);
    socket.onmessage = ({ data }) => this.#receive(typeof data === "string" ? data : new TextDecoder().decode(data));
    socket.onclose = () => this.#closed(socket);
    this.#socket = socket;
  }

  /** Takes the registration back and closes the connection. */
  async disconnect() {
    clearTimeout(this.#timer);
    for (const call of this.calls.values()) call.hangUp();
    const [socket, wasRegistered] = [this.#socket, this.state === "registered"];
    this.#change("off");
    if (wasRegistered) await this.#register(0);
    this.#socket = null;
    socket?.close();
  }

  /** Calls a user, a number or a SIP URI. `stream`: what we say. */
  dial(target, stream) {
    const uri = /^sips?:/i.test(target) ? target : `sip:${target}${target.includes("@") ? "" : `@${this.domain}`}`;
    const call = new Call(this, { remote: `<${uri}>`, target: uri });
    this.calls.set(call.callId, call);
    call.dial(stream);
    return call;
  }

  /**
   * Sends a request and gives every response to `onResponse`, after challenges have been answered. `counter` numbers the
   * requests of its dialog. Returns the transaction, whose `request` is the latest one sent.
   */
  send(request, counter, onResponse) {
    const transaction = { request, counter, onResponse, challenged: 0, timer: null, written: false };
    this.#start(transaction);
    return transaction;
  }

  /**
   * Sends what wants no response: an ACK, a response, or a CANCEL under the branch of what it cancels. False: there is no
   * connection.
   */
  write(message) {
    const isOpen = this.#socket?.readyState === WebSocket.OPEN;
    if (isOpen) this.#socket.send(message.toString());
    return isOpen;
  }

  /** A Via of ours. */
  newVia() {
    return `SIP/2.0/${this.via} ${this.host};branch=z9hG4bK${token()}`;
  }

  #start(transaction) {
    const { request, counter } = transaction;
    counter.value += 1;
    request.set("CSeq", `${counter.value} ${request.method}`);
    request.headers.unshift(["Via", this.newVia()]);
    request.set("Max-Forwards", "70");
    request.set("User-Agent", "Sallyport web phone");
    this.#transactions.set(request.branch + request.method, transaction);
    transaction.timer = setTimeout(() => {
      this.#end(transaction);
      transaction.onResponse(Message.response(request, 408, "No answer"));
    }, TIMEOUT);
    transaction.written = this.write(request);
  }

  #end({ request, timer }) {
    clearTimeout(timer);
    this.#transactions.delete(request.branch + request.method);
  }

  #receive(text) {
    const message = Message.parse(text);
    if (message?.isRequest) this.#receiveRequest(message);
    else if (message) this.#receiveResponse(message);
  }

  async #receiveResponse(response) {
    const transaction = this.#transactions.get(response.branch + response.sequence.method);
    if (!transaction) return;
    clearTimeout(transaction.timer);
    const { request } = transaction;
    const isInvite = request.method === "INVITE";
    if (response.status >= 200) {
      if (isInvite && response.status < 300) {
        // It may come again, and each wants an ACK (RFC 3261 §13.2.2.4).
        transaction.timer = setTimeout(() => this.#end(transaction), TIMEOUT);
      } else {
        this.#end(transaction);
      }
      if (isInvite && response.status >= 300) {
        // The ACK of a final response that is no 2xx belongs to its transaction (RFC 3261 §17.1.1.3).
        this.write(Message.belonging("ACK", request, response.header("to")));
      }
    }
    if ([401, 407].includes(response.status) && transaction.challenged < 3) {
      const again = transaction.challenged > 0;
      const proof = await authorization(response, request.method, request.uri, this.account, again);
      if (proof && !transaction.abandoned) {
        transaction.challenged += 1;
        transaction.request = new Message(request.start, [...request.headers], request.body);
        transaction.request.remove("Via").set(...proof);
        return this.#start(transaction);
      }
    }
    transaction.onResponse(response);
  }

  #receiveRequest(request) {
    const call = this.calls.get(request.header("call-id"));
    if (call && tagOf(request.header("to") ?? "") && !call.isOurs(request)) {
      return this.#refuse(request, 481, "Call/Transaction Does Not Exist");
    }
    if (call) return call.handle(request);
    switch (request.method) {
      case "ACK":
        return;
      case "INVITE":
        if (!tagOf(request.header("to") ?? "")) return this.#ring(request);
        return this.#refuse(request, 481, "Call/Transaction Does Not Exist");
      case "OPTIONS":
        return this.write(Message.response(request, 200, "OK", token()).set("Allow", Call.ALLOW));
      case "BYE":
      case "CANCEL":
      case "UPDATE":
      case "INFO":
        return this.#refuse(request, 481, "Call/Transaction Does Not Exist");
      default:
        return this.#refuse(request, 501, "Not Implemented");
    }
  }

  #ring(request) {
    if ([...this.calls.values()].some((call) => call.isLive)) return this.#refuse(request, 486, "Busy Here");
    const call = new Call(this, { remote: request.header("from"), invite: request });
    this.calls.set(call.callId, call);
    call.ring();
    this.dispatchEvent(new CustomEvent("call", { detail: call }));
  }

  #refuse(request, status, reason) {
    if (request.method !== "ACK") this.write(Message.response(request, status, reason, token()));
  }

  /** Resolves when the server has answered. */
  #register(expires) {
    const { callId, tag, counter } = this.#registration;
    const request = Message.request("REGISTER", `sip:${this.domain}`)
      .add("From", `<${this.aor}>;tag=${tag}`)
      .add("To", `<${this.aor}>`)
      .add("Call-ID", callId)
      .add("Contact", `${this.contact};expires=${expires}`)
      .add("Expires", String(expires));
    return new Promise((resolve) => {
      this.send(request, counter, (response) => {
        if (response.status < 200) return;
        if (expires > 0) this.#registered(response);
        resolve();
      });
    });
  }

  #registered(response) {
    if (response.status >= 300) {
      const wrong = [401, 403, 407].includes(response.status);
      const words = wrong ? "user or password is wrong" : `${response.status} ${response.reason}`;
      const socket = this.#socket;
      this.#socket = null;
      this.#change("off", `The server refuses to register: ${words}`);
      return socket?.close();
    }
    this.#wait = RETRY.first;
    const own = response.list("contact").find((contact) => uriOf(contact).includes(this.host)) ?? "";
    const granted = Number(/;\s*expires=(\d+)/i.exec(own)?.[1] ?? response.header("expires") ?? EXPIRES);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#register(EXPIRES), Math.max(granted / 2, 5) * 1000);
    // The server knows again where we are, and hears what it could not be told before.
    for (const transaction of this.#transactions.values()) transaction.written ||= this.write(transaction.request);
    this.#change("registered");
  }

  #closed(socket) {
    if (socket !== this.#socket) return;
    clearTimeout(this.#timer);
    for (const transaction of [...this.#transactions.values()]) {
      // Who hears of a BYE late hears of it all the same.
      if (transaction.request.method === "BYE") transaction.written = false;
      else this.#end(transaction);
    }
    for (const call of this.calls.values()) call.disconnected();
    this.#change("connecting", "The server cannot be reached.");
    this.#timer = setTimeout(() => this.connect(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, RETRY.longest);
  }

  #change(state, problem = "") {
    Object.assign(this, { state, problem });
    this.dispatchEvent(new Event("change"));
  }
}
