// SIP messages as text (RFC 3261 §7), and the parts of their headers that a phone needs.

const COMPACT = {
  i: "call-id",
  m: "contact",
  l: "content-length",
  c: "content-type",
  f: "from",
  k: "supported",
  t: "to",
  v: "via",
};

const nameOf = (name) => COMPACT[name.toLowerCase()] ?? name.toLowerCase();

/** A request or a response. Headers keep their order. */
export class Message {
  constructor(start, headers = [], body = "") {
    this.start = start;
    this.headers = headers;
    this.body = body;
  }

  static request(method, uri) {
    return new Message(`${method} ${uri} SIP/2.0`);
  }

  /** The answer to a request: it has that request's Via, From, To, Call-ID and CSeq (RFC 3261 §8.2.6.2). */
  static response(request, status, reason, tag) {
    const response = new Message(`SIP/2.0 ${status} ${reason}`);
    for (const [name, value] of request.headers) {
      if (["via", "from", "to", "call-id", "cseq"].includes(nameOf(name))) {
        const needsTag = nameOf(name) === "to" && tag && !tagOf(value);
        response.add(name, needsTag ? `${value};tag=${tag}` : value);
      }
    }
    return response;
  }

  /** Null for what is no SIP message, such as a keep-alive. */
  static parse(text) {
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return null;
    // A line that begins with a blank goes on with the one before.
    const [start, ...lines] = text.slice(0, end).replace(/\r\n[ \t]+/g, " ").split("\r\n");
    if (!/^SIP\/2\.0 \d{3}( |$)|^[A-Z]+ \S+ SIP\/2\.0$/.test(start)) return null;
    const headers = [];
    for (const line of lines) {
      const colon = line.indexOf(":");
      if (colon > 0) headers.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
    }
    return new Message(start, headers, text.slice(end + 4));
  }

  /** A CANCEL or an ACK of a request's own transaction: its branch, number and route (RFC 3261 §9.1, §17.1.1.3). */
  static belonging(method, request, to = request.header("to")) {
    const message = Message.request(method, request.uri).add("Via", request.header("via")).add("Max-Forwards", "70");
    for (const route of request.list("route")) message.add("Route", route);
    for (const name of ["From", "Call-ID"]) message.add(name, request.header(name.toLowerCase()));
    return message.add("To", to).add("CSeq", `${request.sequence.number} ${method}`);
  }

  get isRequest() {
    return !this.start.startsWith("SIP/2.0 ");
  }

  get method() {
    return this.isRequest ? this.start.split(" ")[0] : this.sequence.method;
  }

  get uri() {
    return this.start.split(" ")[1];
  }

  get status() {
    return Number(this.start.split(" ")[1]);
  }

  get reason() {
    return this.start.split(" ").slice(2).join(" ");
  }

  /** The number and the method of CSeq. */
  get sequence() {
    const [number, method] = (this.header("cseq") ?? "0 ").split(/\s+/);
    return { number: Number(number), method };
  }

  get branch() {
    return /;\s*branch\s*=\s*([^;,\s]+)/i.exec(this.header("via") ?? "")?.[1] ?? "";
  }

  /** The first header of this name. */
  header(name) {
    return this.headers.find(([own]) => nameOf(own) === name.toLowerCase())?.[1];
  }

  /** Every value of a header that may be a list. */
  list(name) {
    const values = this.headers.filter(([own]) => nameOf(own) === name.toLowerCase());
    return values.flatMap(([, value]) => splitList(value));
  }

  add(name, value) {
    this.headers.push([name, value]);
    return this;
  }

  /** In place of every header of this name; where it is new, at the end. */
  set(name, value) {
    const at = this.headers.findIndex(([own]) => nameOf(own) === name.toLowerCase());
    this.remove(name);
    this.headers.splice(at < 0 ? this.headers.length : at, 0, [name, value]);
    return this;
  }

  remove(name) {
    this.headers = this.headers.filter(([own]) => nameOf(own) !== name.toLowerCase());
    return this;
  }

  withSdp(sdp) {
    this.body = sdp;
    return this.set("Content-Type", "application/sdp");
  }

  /** The session description, if that is what the body is. */
  get sdp() {
    return /^application\/sdp\b/i.test(this.header("content-type") ?? "") ? this.body : null;
  }

  toString() {
    const length = new TextEncoder().encode(this.body).length;
    const lines = this.headers.filter(([name]) => nameOf(name) !== "content-length");
    const head = [this.start, ...lines.map(([name, value]) => `${name}: ${value}`), `Content-Length: ${length}`];
    return `${head.join("\r\n")}\r\n\r\n${this.body}`;
  }
}

/** At commas that stand neither in quotes nor in angle brackets. */
export function splitList(value) {
  return (value.match(/(?:"(?:\\.|[^"\\])*"|<[^>]*>|[^,"<])+/g) ?? []).map((part) => part.trim()).filter(Boolean);
}

/** The tag of a From or To header. */
export function tagOf(value) {
  return /;\s*tag\s*=\s*([^;\s]+)/i.exec(value.replace(/^(?:"(?:\\.|[^"\\])*"|[^<"])*<[^>]*>/, ""))?.[1] ?? "";
}

/** The URI of a From, To, Contact or Record-Route header. */
export function uriOf(value) {
  return /<([^>]*)>/.exec(value.replace(/^"(?:\\.|[^"\\])*"/, ""))?.[1] ?? value.split(";")[0].trim();
}

/** Who a From header says it is from, for people. */
export function displayOf(value) {
  const quoted = /^"((?:\\.|[^"\\])*)"/.exec(value)?.[1].replace(/\\(.)/g, "$1");
  const plain = /^([^<"]+)</.exec(value)?.[1].trim();
  return quoted || plain || uriOf(value).replace(/^sips?:/, "").replace(/[;?].*$/, "");
}

/** Letters and digits that nobody can guess. */
export function token(bytes = 8) {
  return hex(crypto.getRandomValues(new Uint8Array(bytes)));
}

/** Two digits a byte. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
