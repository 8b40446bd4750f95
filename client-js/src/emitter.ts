/** Typed events. A listener that throws is reported and stops nobody else. */

/** Removes the listener. */
export type Off = () => void;

export interface Emitter<Events> {
  /** Calls `listener` at each such event until the answer is called. */
  on<Kind extends keyof Events>(kind: Kind, listener: (value: Events[Kind]) => void): Off;
  /** Whether anybody listens. */
  has(kind: keyof Events): boolean;
  emit<Kind extends keyof Events>(kind: Kind, value: Events[Kind]): void;
}

/** @param report told what a listener threw. */
export function createEmitter<Events>(report: (error: unknown) => void): Emitter<Events> {
  // An entry of its own for each call, so that one function given twice is two listeners.
  const all = new Set<readonly [keyof Events, (value: never) => void]>();
  const of = (kind: keyof Events) => [...all].filter(([other]) => other === kind);
  return {
    on(kind, listener) {
      const entry = [kind, listener] as const;
      all.add(entry);
      return () => void all.delete(entry);
    },
    has: (kind) => !!of(kind).length,
    emit(kind, value) {
      for (const [, listener] of of(kind)) {
        try {
          listener(value as never);
        } catch (error) {
          report(error);
        }
      }
    },
  };
}
