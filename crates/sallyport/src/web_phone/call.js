// One call: an INVITE dialog (RFC 3261 §12 to §15) and its RTCPeerConnection.
//
//   dial:  calling ─► ringing ─► connected ─► ended
//   ring:  incoming ── answer ─► connected ─► ended

import { Message, displayOf, tagOf, token, uriOf } from "./message.js";

/** Retransmission of a 2xx until its ACK, also over reliable transports (RFC 3261 §13.3.1.4). */
const T1 = 500;
const T2 = 4_000;
/** Candidates that do not come within this time are left out; the server answers checks from wherever they come. */
const GATHERING = 1_500;

/** A call. Event: `change` (see `state`, `why`). */
export class Call extends EventTarget {
  static ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE";

  state = "calling";
  /** Why it ended. */
  why = "";
  remoteStream = new MediaStream();
  #agent;
  #tag = token();
  #counter = { value: 0 };
  #remote;
  #target;
  #routes = [];
  /** The transaction of our INVITE. */
  #transaction = null;
  /** The caller's INVITE, while it has no final response. */
  #invite = null;
  #resend = null;
  #peer = null;
  #stream = null;
  /** We have offered in a 200, and the answer is due in its ACK. */
  #awaitsAnswer = false;
  #acknowledged = new Map();

  constructor(agent, { remote, target, invite }) {
    super();
    this.#agent = agent;
    this.callId = invite?.header("call-id") ?? `${token(12)}@${agent.host}`;
    this.#remote = remote;
    this.#target = target ?? uriOf(invite.header("contact") ?? "");
    this.#routes = invite?.list("record-route") ?? [];
    this.#invite = invite ?? null;
    this.party = displayOf(remote);
  }

  get isLive() {
    return this.state !== "ended";
  }

  /** Whether a request that has a To tag is of this dialog. */
  isOurs(request) {
    return tagOf(request.header("to") ?? "") === this.#tag;
  }

  /** What RTCPeerConnection.getStats tells; null before there is media. */
  async statistics() {
    return this.#peer ? this.#peer.getStats() : null;
  }

  set muted(muted) {
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  async dial(stream) {
    await this.#attempt(async () => {
      this.#open(stream);
      await this.#peer.setLocalDescription();
      const sdp = await gathered(this.#peer);
      if (!this.isLive) return;
      const invite = this.#request("INVITE").withSdp(sdp).set("Allow", Call.ALLOW);
      this.#transaction = this.#agent.send(invite, this.#counter, (response) => this.#hear(response));
    });
  }

  ring() {
    this.#respond(this.#invite, 180, "Ringing");
    this.#change("incoming");
  }

  async answer(stream) {
    const invite = this.#invite;
    if (this.state !== "incoming") return stream.getTracks().forEach((track) => track.stop());
    await this.#attempt(async () => {
      this.#open(stream);
      const sdp = await this.#describe(invite);
      if (this.#invite !== invite) return;
      this.#invite = null;
      this.#accept(invite, sdp);
      this.#change("connected");
    });
  }

  /** Ends it, whatever it is about to become. `why`: the cause, where it is not the user's wish. */
  hangUp(why) {
    switch (this.state) {
      case "calling":
      case "ringing":
        // A CANCEL makes no sense before a response has come (RFC 3261 §9.1); a 2xx that crosses it is ended by a BYE.
        if (this.state === "ringing" || this.#transaction?.provisional) this.#cancel();
        if (this.#transaction) this.#transaction.abandoned = true;
        return this.end(why ?? "cancelled");
      case "incoming":
        this.#respond(this.#invite, 603, "Decline");
        return this.end("declined");
      case "connected":
        this.#agent.send(this.#request("BYE"), this.#counter, () => {});
        return this.end(why ?? "ended by you");
    }
  }

  /**
   * The connection to the server is gone. Media know nothing of that, and the server takes a call up again when we have registered
   * again; one that is not answered yet is over.
   */
  disconnected() {
    if (this.state !== "connected") this.end("the connection to the server was lost");
  }

  /** It is over. */
  end(why) {
    if (!this.isLive) return;
    clearTimeout(this.#resend);
    this.#invite = null;
    this.#peer?.close();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    // What is still on its way to us (a 2xx, a BYE) finds the call for a while.
    setTimeout(() => this.#agent.calls.delete(this.callId), 64 * T1);
    this.why = why;
    this.#change("ended");
  }

  /** A request of the peer with our Call-ID. */
  handle(request) {
    switch (request.method) {
      case "ACK":
        return this.#acknowledge(request);
      case "CANCEL":
        this.#respond(request, 200, "OK");
        if (this.#invite && this.#invite.branch === request.branch) {
          this.#respond(this.#invite, 487, "Request Terminated");
          this.end("the caller gave up");
        }
        return;
      case "BYE":
        this.#respond(request, 200, "OK");
        return this.end("ended by the other side");
      case "INVITE":
      case "UPDATE":
        return this.#renegotiate(request);
      case "OPTIONS":
        return this.#respond(request, 200, "OK");
      default:
        return this.#respond(request, 501, "Not Implemented");
    }
  }

  #open(stream) {
    this.#stream = stream;
    this.#peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" });
    this.#peer.ontrack = ({ track }) => this.remoteStream.addTrack(track);
    this.#peer.onconnectionstatechange = () => {
      if (this.#peer.connectionState === "failed") {
        this.#failed("no media connection to the server");
      } else {
        this.dispatchEvent(new Event("change"));
      }
    };
    for (const track of stream.getTracks()) this.#peer.addTrack(track, stream);
  }

  get connection() {
    return this.#peer?.connectionState ?? "new";
  }

  async #hear(response) {
    const { status } = response;
    if (status < 200) {
      this.#transaction.provisional = true;
      if (this.#transaction.abandoned) return this.#cancel();
      if (status > 100) this.#change("ringing");
    } else if (status < 300) {
      const tag = tagOf(response.header("to"));
      const again = this.#acknowledged.get(tag);
      if (again) return this.#agent.write(again);
      await this.#accepted(response, tag);
    } else {
      this.end(status === 487 ? "cancelled" : `${status} ${response.reason}`);
    }
  }

  async #accepted(response, tag) {
    const isFirst = this.#acknowledged.size === 0 && !this.#transaction.abandoned;
    const dialog = {
      remote: response.header("to"),
      target: uriOf(response.header("contact") ?? "") || this.#target,
      routes: response.list("record-route").reverse(),
    };
    const ack = this.#request("ACK", dialog);
    ack.headers.unshift(["Via", this.#agent.newVia()]);
    ack.add("CSeq", `${response.sequence.number} ACK`).add("Max-Forwards", "70");
    this.#acknowledged.set(tag, ack);
    this.#agent.write(ack);
    if (!isFirst) {
      // Another phone has answered too, or it is too late.
      return this.#agent.send(this.#request("BYE", dialog), { value: response.sequence.number }, () => {});
    }
    [this.#remote, this.#target, this.#routes] = [dialog.remote, dialog.target, dialog.routes];
    this.#change("connected");
    await this.#attempt(() => this.#peer.setRemoteDescription({ type: "answer", sdp: response.body }));
  }

  /** Our description in answer to a request that has an offer, or our offer where it has none. */
  async #describe(request) {
    if (request.sdp) {
      await this.#peer.setRemoteDescription({ type: "offer", sdp: request.sdp });
    } else {
      this.#awaitsAnswer = true;
    }
    await this.#peer.setLocalDescription();
    return gathered(this.#peer);
  }

  async #renegotiate(request) {
    if (request.method === "UPDATE" && !request.sdp) return this.#respond(request, 200, "OK");
    if (this.state !== "connected" || this.#peer.signalingState !== "stable" || this.#resend) {
      return this.#respond(request, 491, "Request Pending");
    }
    const contact = request.header("contact");
    if (contact) this.#target = uriOf(contact);
    try {
      const sdp = await this.#describe(request);
      if (request.method === "INVITE") this.#accept(request, sdp);
      else this.#respond(request, 200, "OK", sdp);
    } catch {
      this.#awaitsAnswer = false;
      await this.#peer.setRemoteDescription({ type: "rollback" }).catch(() => {});
      this.#respond(request, 488, "Not Acceptable Here");
    }
  }

  /** A 200 to an INVITE is sent until its ACK comes; a call without one ends. */
  #accept(invite, sdp) {
    const sendAgain = (wait, left) => {
      this.#respond(invite, 200, "OK", sdp);
      this.#resend = setTimeout(() => {
        if (left > wait) return sendAgain(Math.min(wait * 2, T2), left - wait);
        this.#failed("the other side did not confirm");
      }, wait);
    };
    sendAgain(T1, 64 * T1);
  }

  async #acknowledge(ack) {
    clearTimeout(this.#resend);
    this.#resend = null;
    if (!this.#awaitsAnswer || !this.isLive) return;
    this.#awaitsAnswer = false;
    await this.#attempt(() => this.#peer.setRemoteDescription({ type: "answer", sdp: ack.sdp ?? "" }));
  }

  #cancel() {
    this.#agent.write(Message.belonging("CANCEL", this.#transaction.request));
  }

  /** A request of this dialog, without what the transaction adds. */
  #request(method, { remote, target, routes } = { remote: this.#remote, target: this.#target, routes: this.#routes }) {
    const request = Message.request(method, target);
    for (const route of routes) request.add("Route", route);
    request.add("From", `<${this.#agent.aor}>;tag=${this.#tag}`).add("To", remote).add("Call-ID", this.callId);
    return ["ACK", "BYE"].includes(method) ? request : request.add("Contact", this.#agent.contact);
  }

  #respond(request, status, reason, sdp) {
    const response = Message.response(request, status, reason, this.#tag);
    for (const route of request.list("record-route")) response.add("Record-Route", route);
    response.add("Contact", this.#agent.contact).add("Allow", Call.ALLOW);
    this.#agent.write(sdp ? response.withSdp(sdp) : response);
  }

  async #attempt(act) {
    try {
      await act();
    } catch (error) {
      this.#failed(`the browser refuses: ${error.message}`);
    }
  }

  #failed(why) {
    if (this.state !== "incoming") return this.hangUp(why);
    this.#respond(this.#invite, 488, "Not Acceptable Here");
    this.end(why);
  }

  #change(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}

/** The local description when all candidates are in it, or as many as there are in time. */
async function gathered(peer) {
  if (peer.iceGatheringState !== "complete") {
    await new Promise((resolve) => {
      setTimeout(resolve, GATHERING);
      peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
    });
  }
  return peer.localDescription.sdp;
}
