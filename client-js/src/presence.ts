/** Who is in a channel: a replica that snapshots and changes keep up to date. */
import type { Presence, PresenceChange } from "./api.ts";
import type { Member, PresenceFrame } from "./protocol/frames.ts";

export interface Replica extends Presence {
  /** Takes a change in; answers what the application is to be told, if anything. */
  apply(frame: PresenceFrame): PresenceChange | undefined;
}

/** @param on adds a listener that is told what {@link Replica.apply} answers. */
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
    apply(frame) {
      const kind = frame.t;
      // Changes up to a snapshot are in it (M35).
      if (kind !== "members" && frame.v <= version) return undefined;
      if (kind === "members") {
        version = frame.v;
        members.clear();
        for (const member of Array.isArray(frame.members) ? frame.members : []) set(member);
      } else if (kind === "count") {
        total = frame.n;
      } else if (kind === "leave") {
        const member = members.get(frame.id);
        members.delete(frame.id);
        return member && { kind, member };
      } else {
        // A kind that is not known is none.
        const { member } = frame;
        return /^(join|update)$/.test(kind) && set(member) ? { kind, member } : undefined;
      }
      return { kind };
    },
  };
}
