/** Typed events. A listener that throws is reported and stops nobody else. */

/** Removes the listener. */
export type Off = () => void;

export class Emitter<Events> {
  private readonly listeners = new Map<keyof Events, Set<(value: never) => void>>();
  private readonly report: (error: unknown) => void;

  constructor(report: (error: unknown) => void) {
    this.report = report;
  }

  /** Calls `listener` at each such event until the answer is called. */
  on<Kind extends keyof Events>(kind: Kind, listener: (value: Events[Kind]) => void): Off {
    // A wrapper of its own, so that one function given twice is two listeners.
    const own = (value: Events[Kind]): void => listener(value);
    const all = this.listeners.get(kind) ?? new Set();
    this.listeners.set(kind, all.add(own));
    return () => void all.delete(own);
  }

  /** Whether anybody listens. */
  has(kind: keyof Events): boolean {
    return (this.listeners.get(kind)?.size ?? 0) > 0;
  }

  emit<Kind extends keyof Events>(kind: Kind, value: Events[Kind]): void {
    for (const listener of [...(this.listeners.get(kind) ?? [])]) {
      try {
        (listener as (value: Events[Kind]) => void)(value);
      } catch (error) {
        this.report(error);
      }
    }
  }
}
