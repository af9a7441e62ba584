// The event stream: what came, when, and whether to believe it still.
const OLD = 12000;      // ms without a word after which nothing here is to be believed
const HIDDEN = 60000;   // ms unseen after which the connection is given back

export class Feed {
  constructor(heard) {
    this.heard = heard;          // (kind, data)
    this.order = null;
    this.source = null;
    this.at = performance.now(); // when the last word came
    this.wall = Date.now();
    this.broken = false;
    this.tries = 0;
    this.timer = null;
    this.hidden = null;
    document.addEventListener("visibilitychange", () => this.looked());
    window.addEventListener("online", () => this.open());
  }

  open(order = this.order) {
    this.order = order;
    this.close();
    const source = this.source = new EventSource(order ? `events?order=${order}` : "events");
    for (const kind of ["hello", "snapshot", "units", "beat"]) {
      source.addEventListener(kind, (event) => {
        if (source !== this.source) return;
        this.at = performance.now();
        this.wall = Date.now();
        this.broken = false;
        this.tries = 0;
        this.heard(kind, JSON.parse(event.data));
      });
    }
    source.addEventListener("bye", () => { if (source === this.source) this.lost(1000); });
    source.onerror = () => {
      if (source !== this.source) return;
      // A browser comes back by itself, but not after a refusal, and not with another order.
      this.lost(Math.min(1000 * 2 ** this.tries, 10000));
    };
  }

  lost(delay) {
    this.broken = true;
    this.tries += 1;
    this.close();
    this.heard("lost", null);
    this.timer = setTimeout(() => this.open(), delay * (0.7 + 0.6 * Math.random()));
  }

  close() {
    clearTimeout(this.timer);
    if (this.source) this.source.close();
    this.source = null;
  }

  looked() {
    clearTimeout(this.hidden);
    if (document.hidden) this.hidden = setTimeout(() => this.close(), HIDDEN);
    else if (!this.source) this.open();
  }

  get age() { return performance.now() - this.at; }
  get stale() { return (this.broken && this.age > 1500) || this.age > OLD; }
}
