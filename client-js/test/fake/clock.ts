/** Virtual time: timers run when the test moves the clock, never by themselves. */

interface Timer {
  at: number;
  order: number;
  call: () => void;
}

export class Clock {
  now = 1_700_000_000_000;
  private order = 0;
  private timers: Timer[] = [];

  setTimeout(call: () => void, delayMs: number): Timer {
    const timer = { at: this.now + Math.max(0, delayMs || 0), order: this.order++, call };
    this.timers.push(timer);
    return timer;
  }

  clearTimeout(timer: unknown): void {
    this.timers = this.timers.filter((other) => other !== timer);
  }

  /** Lets everything run that waits for no timer. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Moves the clock, running every timer at its time. */
  async advance(ms: number): Promise<void> {
    const until = this.now + ms;
    await this.settle();
    for (;;) {
      const [next] = this.timers
        .filter(({ at }) => at <= until)
        .sort((a, b) => a.at - b.at || a.order - b.order);
      if (!next) break;
      this.clearTimeout(next);
      this.now = Math.max(this.now, next.at);
      next.call();
      await this.settle();
    }
    this.now = until;
  }
}
