// The sound of a call that comes in: one second of two tones, three of silence.

export class Bell {
  #context = null;
  #timer = null;

  /** Browsers let a page sound only after a click: call it then. */
  prepare() {
    this.#context ??= new AudioContext();
  }

  set ringing(ringing) {
    if (ringing === (this.#timer !== null)) return;
    clearInterval(this.#timer);
    this.#timer = ringing ? setInterval(() => this.#ring(), 4_000) : null;
    if (ringing) this.#ring();
  }

  #ring() {
    const context = this.#context;
    if (context?.state !== "running") return;
    const gain = new GainNode(context, { gain: 0.1 });
    gain.connect(context.destination);
    for (const frequency of [440, 554]) {
      const oscillator = new OscillatorNode(context, { frequency });
      oscillator.connect(gain);
      oscillator.start();
      oscillator.stop(context.currentTime + 1);
    }
  }
}
