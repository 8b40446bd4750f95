/** Who is in a channel: a replica that snapshots and changes keep up to date. */
import type { Presence, PresenceChange } from "./api.ts";
import { Emitter, type Off } from "./emitter.ts";
import { isObject, type Member, type PresenceFrame } from "./protocol/frames.ts";

export class Replica implements Presence {
  private readonly all = new Map<string, Member>();
  private readonly emitter: Emitter<{ change: PresenceChange }>;
  private version = -1;
  private total = 0;

  constructor(report: (error: unknown) => void) {
    this.emitter = new Emitter(report);
  }

  get members(): ReadonlyMap<string, Member> {
    return this.all;
  }

  get count(): number {
    return this.all.size || this.total;
  }

  on(kind: "change", listener: (change: PresenceChange) => void): Off {
    return this.emitter.on(kind, listener);
  }

  /** Takes a change in; answers what the application is to be told, if anything. */
  apply(frame: PresenceFrame): PresenceChange | undefined {
    const change = this.take(frame);
    if (change) this.emitter.emit("change", change);
    return change;
  }

  private fill(members: unknown): void {
    this.all.clear();
    for (const member of Array.isArray(members) ? members : []) {
      if (isMember(member)) this.all.set(member.id, member);
    }
  }

  private take(frame: PresenceFrame): PresenceChange | undefined {
    // Changes up to a snapshot are in it (M35).
    if (frame.t !== "members" && frame.v <= this.version) return undefined;
    switch (frame.t) {
      case "members":
        this.version = frame.v;
        this.fill(frame.members);
        return { kind: frame.t };
      case "join":
      case "update":
        if (!isMember(frame.member)) return undefined;
        this.all.set(frame.member.id, frame.member);
        return { kind: frame.t, member: frame.member };
      case "leave": {
        const member = this.all.get(frame.id);
        if (!member) return undefined;
        this.all.delete(frame.id);
        return { kind: frame.t, member };
      }
      case "count":
        this.total = frame.n;
        return { kind: frame.t };
      default:
        return frame satisfies never;
    }
  }
}

function isMember(value: unknown): value is Member {
  return isObject(value) && typeof value["id"] === "string";
}
