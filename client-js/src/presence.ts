/** Who is in a channel: a replica that snapshots and changes keep up to date. */
import type { Presence, PresenceChange } from "./api.ts";
import type { Member, PresenceFrame } from "./protocol/frames.ts";

export interface Replica extends Presence {
  /** Takes a change in; answers what the application is to be told, if anything. */
  learn(frame: PresenceFrame): PresenceChange | undefined;
}

/** @param on adds a listener that is told what {@link Replica.learn} answers. */
export function createReplica(on: Presence["on"]): Replica {
  const members = new Map<string, Member>();
  let version = -1;
  let total = 0;

  const set = (member: Member | null | undefined): unknown =>
    typeof member?.id === "string" && members.set(member.id, member);

  return {
    members,
    get count() {
      return members.size || total;
    },
    on,
    learn(frame) {
      const { t: kind, v } = frame;
      if (kind === "members") {
        version = v;
        total = 0;
        members.clear();
        for (const member of Array.isArray(frame.members) ? frame.members : []) set(member);
        return { kind };
      }
      // Changes up to a snapshot are in it (M35).
      if (v <= version) return undefined;
      if (kind === "count") {
        total = frame.n;
        return { kind };
      }
      const isLeave = kind === "leave";
      const member = isLeave ? members.get(frame.id) : frame.member;
      // A kind that is not known is none.
      const changes = isLeave
        ? members.delete(frame.id)
        : /^(join|update)$/.test(kind) && set(member);
      return changes ? ({ kind, member } as PresenceChange) : undefined;
    },
  };
}
