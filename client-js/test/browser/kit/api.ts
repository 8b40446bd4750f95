/** The application's backend: it publishes and reads by the gateway's HTTP API. */

export interface Stored {
  pos: string;
  id: string;
  data: unknown;
}

const HEADERS = { authorization: "Bearer dev", "content-type": "application/json" };

export interface NewEvent {
  data: unknown;
  id?: string;
  key?: string;
}

/** Publishes one event. */
export async function publish(
  base: string,
  channel: string,
  event: NewEvent,
): Promise<{ pos: string; id: string }> {
  return (await call(base, "publish", { channel, ...event })) as { pos: string; id: string };
}

/** All that a durable channel retains, oldest first. */
export async function history(base: string, channel: string): Promise<Stored[]> {
  const all: Stored[] = [];
  for (let since = "0"; ; ) {
    const query = new URLSearchParams({ channel, since, limit: "1000" });
    const page = await call(base, `history?${query}`);
    const { events, pos, more } = page as { events: Stored[]; pos: string; more: boolean };
    all.push(...events);
    if (!more) return all;
    since = pos;
  }
}

async function call(base: string, path: string, body?: object): Promise<unknown> {
  const post = { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${base}/api/${path}`, { headers: HEADERS, ...(body && post) });
  const text = await response.text();
  if (!response.ok) throw new Error(`/api/${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}
