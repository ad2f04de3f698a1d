// The web phone's modules that need no browser, against the RFCs' own words.

import assert from "node:assert/strict";
import { test } from "node:test";

const folder = new URL("../../crates/sallyport/src/web_phone/", import.meta.url);
const { Message, displayOf, splitList, tagOf, uriOf } = await import(new URL("message.js", folder));
const { authorization, parseChallenge } = await import(new URL("digest.js", folder));

const lines = (...all) => all.join("\r\n") + "\r\n\r\n";

test("compact names and folded lines are read as their long forms", () => {
  // After RFC 4475 §3.1.1.1.
  const message = Message.parse(
    lines(
      "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0",
      "TO :",
      " sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n",
      'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>',
      "  ;",
      "  tag = 98asjd8",
      "v:  SIP  / 2.0  / TCP     spindle.example.com   ;",
      "  branch  =   z9hG4bK9ikj8",
      "m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =",
      "      newvalue",
      "CSeq: 0009",
      "  INVITE",
    ),
  );
  assert.equal(message.method, "INVITE");
  assert.deepEqual(message.sequence, { number: 9, method: "INVITE" });
  assert.equal(message.branch, "z9hG4bK9ikj8");
  assert.equal(tagOf(message.header("to")), "1918181833n");
  assert.equal(tagOf(message.header("from")), "98asjd8");
  assert.equal(displayOf(message.header("from")), 'J Rosenberg \\"');
  assert.equal(uriOf(message.header("contact")), "sip:jdrosen@example.com");
});

test("a tag inside a URI or a quoted name is none of the header", () => {
  assert.equal(tagOf('"a;tag=1" <sip:a@b;tag=2>'), "");
  assert.equal(tagOf("<sip:a@b;tag=2>;tag=3"), "3");
  assert.equal(tagOf("sip:a@b;tag=4"), "4");
});

test("lists are split outside of quotes and brackets", () => {
  assert.deepEqual(splitList('"x, y" <sip:a,b@c>;q=1, <sip:d@e>'), ['"x, y" <sip:a,b@c>;q=1', "<sip:d@e>"]);
});

test("what is no SIP message is none", () => {
  for (const text of ["\r\n", "\r\n\r\n", "", "GET / HTTP/1.1\r\n\r\n", "SIP/2.0 20 OK\r\n\r\n", "INVITE sip:a@b SIP/2.0\r\n"]) {
    assert.equal(Message.parse(text), null, text);
  }
});

test("a response has the request's Via, From, To with a tag of ours, Call-ID and CSeq (RFC 3261 §8.2.6.2)", () => {
  const request = Message.parse(
    lines("BYE sip:a@b SIP/2.0", "Via: 1", "Via: 2", "To: <sip:a@b>", "From: <sip:c@d>;tag=1", "Call-ID: x", "CSeq: 2 BYE", "Subject: no"),
  );
  const response = Message.response(request, 200, "OK", "mine").withSdp("ü");
  assert.equal(
    response.toString(),
    "SIP/2.0 200 OK\r\nVia: 1\r\nVia: 2\r\nTo: <sip:a@b>;tag=mine\r\nFrom: <sip:c@d>;tag=1\r\nCall-ID: x\r\n" +
      "CSeq: 2 BYE\r\nContent-Type: application/sdp\r\nContent-Length: 2\r\n\r\nü",
  );
});

test("a CANCEL and the ACK of a refusal are of their request's own transaction (RFC 3261 §9.1, §17.1.1.3)", () => {
  const invite = Message.parse(
    lines("INVITE sip:a@b SIP/2.0", "Via: x;branch=1", "Route: <sip:p;lr>", "To: <sip:a@b>", "From: <sip:c@d>;tag=1", "Call-ID: x", "CSeq: 2 INVITE"),
  );
  const head = "Via: x;branch=1\r\nMax-Forwards: 70\r\nRoute: <sip:p;lr>\r\nFrom: <sip:c@d>;tag=1\r\nCall-ID: x\r\n";
  const expected = (method, to) =>
    `${method} sip:a@b SIP/2.0\r\n${head}To: ${to}\r\nCSeq: 2 ${method}\r\nContent-Length: 0\r\n\r\n`;
  assert.equal(Message.belonging("CANCEL", invite).toString(), expected("CANCEL", "<sip:a@b>"));
  assert.equal(Message.belonging("ACK", invite, "<sip:a@b>;tag=2").toString(), expected("ACK", "<sip:a@b>;tag=2"));
});

// RFC 7616 §3.9.1.
const CHALLENGE =
  'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, ' +
  'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"';
const MUFASA = { user: "Mufasa", password: "Circle of Life" };

function challenged(...challenges) {
  return new Message("SIP/2.0 401 Unauthorized", challenges.map((value) => ["WWW-Authenticate", value]));
}

test("the answer to the RFC's challenge is the RFC's", async () => {
  const cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
  const md5 = CHALLENGE.replace("SHA-256", "MD5");
  const [name, value] = await authorization(challenged(md5, CHALLENGE), "GET", "/dir/index.html", MUFASA, false, cnonce);
  assert.equal(name, "Authorization");
  const answer = parseChallenge(value);
  assert.equal(answer.response, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
  assert.equal(answer.opaque, "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS");
  assert.equal(answer.algorithm, "SHA-256");
});

test("a weaker or an unknown algorithm is not answered, nor a refusal of an answer that was fresh", async () => {
  const ask = (again, ...challenges) => authorization(challenged(...challenges), "REGISTER", "sip:b", MUFASA, again);
  assert.equal(await ask(false, CHALLENGE.replace("SHA-256", "MD5")), null);
  assert.equal(await ask(false, CHALLENGE.replace("algorithm=SHA-256, ", "")), null);
  assert.equal(await ask(false, "Basic realm=\"x\""), null);
  assert.equal(await ask(true, CHALLENGE), null);
  assert.notEqual(await ask(true, `${CHALLENGE}, stale=true`), null);
});
