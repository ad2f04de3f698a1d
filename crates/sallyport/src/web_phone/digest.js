// Digest (RFC 3261 §22, RFC 8760) with SHA-256. Browsers have no SHA-512/256 and no MD5: a server that offers these two
// alone is out of luck.

import { hex, token } from "./message.js";

/** The parameters of a challenge, quotes taken off. Null where it is not of Digest. */
export function parseChallenge(value) {
  const [, rest] = /^Digest\s+(.*)$/is.exec(value) ?? [];
  if (rest === undefined) return null;
  const parameters = {};
  for (const [, name, quoted, plain] of rest.matchAll(/([\w-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s,"]+))/g)) {
    parameters[name.toLowerCase()] = quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1");
  }
  return parameters.realm === undefined || parameters.nonce === undefined ? null : parameters;
}

/**
 * What to put into the next request, as [header name, value], or null where no challenge can be answered.
 * `response` is the 401 or 407 that was got for `method` and `uri`; `again`: it answers a request that had an answer, which
 * is worth another one only if the nonce alone was too old (RFC 7616 §3.3).
 */
export async function authorization(response, method, uri, { user, password }, again = false, cnonce = token()) {
  const proxy = response.status === 407;
  const challenges = response.headers
    .filter(([name]) => name.toLowerCase() === (proxy ? "proxy-authenticate" : "www-authenticate"))
    .map(([, value]) => parseChallenge(value));
  const challenge = challenges.find((one) => one && /^sha-256$/i.test(one.algorithm ?? "MD5"));
  if (!challenge || (again && !/^true$/i.test(challenge.stale ?? ""))) return null;
  const { realm, nonce, opaque } = challenge;
  const quoted = (text) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  const fields = [`username=${quoted(user)}`, `realm=${quoted(realm)}`, `nonce=${quoted(nonce)}`, `uri=${quoted(uri)}`];
  const first = await hash(`${user}:${realm}:${password}`);
  const second = await hash(`${method}:${uri}`);
  const offers = (challenge.qop ?? "").split(",").map((word) => word.trim().toLowerCase());
  if (offers.includes("auth")) {
    const proof = await hash(`${first}:${nonce}:00000001:${cnonce}:auth:${second}`);
    fields.push(`response="${proof}"`, "qop=auth", "nc=00000001", `cnonce="${cnonce}"`);
  } else {
    fields.push(`response="${await hash(`${first}:${nonce}:${second}`)}"`);
  }
  fields.push("algorithm=SHA-256");
  if (opaque !== undefined) fields.push(`opaque=${quoted(opaque)}`);
  return [proxy ? "Proxy-Authorization" : "Authorization", `Digest ${fields.join(", ")}`];
}

async function hash(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return hex(new Uint8Array(digest));
}
