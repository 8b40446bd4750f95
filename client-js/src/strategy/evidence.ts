/** What was observed of the network, bounded: the record behind {@link Client.evidence}. */
import type { Evidence, Observation } from "../api.ts";

/** Observations that are kept; above it the oldest is forgotten. */
const KEPT_MAX = 32;

export interface Recorder extends Evidence {
  observed: readonly Observation[];
  rttMs: number | undefined;
  holdMs: number | undefined;
  /** Adds one observation. */
  note(transport: Observation["transport"], outcome: Observation["outcome"], ms: number): void;
  /** The last outcome on this transport. */
  last(transport: Observation["transport"]): Observation | undefined;
}

/** @param now the time in milliseconds. */
export function createRecorder(now: () => number): Recorder {
  const recorder: Recorder = {
    observed: [],
    rttMs: undefined,
    holdMs: undefined,
    note(transport, outcome, ms) {
      recorder.observed = [
        ...recorder.observed.slice(1 - KEPT_MAX),
        { transport, outcome, ms, at: now() },
      ];
    },
    last: (transport) =>
      recorder.observed.filter((observation) => observation.transport === transport).pop(),
  };
  return recorder;
}
