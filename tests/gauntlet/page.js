/**
 * What runs in the page: it connects as any page would, and notes what it is told. It stands
 * alone: it is sent there as text.
 */
/** @param {string} base */
export function install(base) {
  const { localStorage, performance, sessionStorage, WebSocket } = globalThis;
  const notes = [];
  const got = { first: [], up: [], down: [] };
  const note = (kind, more) =>
    notes.push({ at: Math.round(performance.now() - began), kind, ...more });
  let began = performance.now();
  let client;
  let firstMs = null;
  let refused = 0;
  for (const kind of ["offline", "online"]) globalThis.addEventListener(kind, () => note(kind));
  const gauntlet = {
    /** ms of a small request on a connection that is there; null where none is answered. */
    async roundTrip() {
      for (let turn = 0; ; turn += 1) {
        const start = performance.now();
        const limit = { signal: AbortSignal.timeout(3000), mode: "no-cors", cache: "no-store" };
        try {
          await (await fetch(`${base}/realtime/none?${turn}`, limit)).text();
        } catch {
          return null;
        }
        if (turn === 2) return Math.round(performance.now() - start);
      }
    },
    /** A visit that starts with nothing known, or with what the one before has left. */
    forget() {
      localStorage.clear();
      sessionStorage.clear();
    },
    /** ms until a plain WebSocket, without any library, brings the first event. */
    raw() {
      const start = performance.now();
      const socket = new WebSocket(`${base.replace("http", "ws")}/realtime/raw/ws`);
      const subs = [{ ch: "chat:first", since: "0" }];
      return new Promise((resolve, reject) => {
        socket.onopen = () => socket.send(JSON.stringify({ l: "open", v: 1, ack: false, subs }));
        socket.onerror = () => reject(new Error("no WebSocket"));
        socket.onmessage = ({ data }) => {
          if (JSON.parse(data).t !== "event") return;
          resolve(Math.round(performance.now() - start));
          socket.close();
        };
      });
    },
    /** What the diagnosis finds here: its codes. */
    async diagnose() {
      const { diagnose } = await import("/diagnose.mjs");
      return (await diagnose(`${base}/realtime`)).findings.map(({ code }) => code);
    },
    close() {
      client.close();
    },
    now: () => Math.round(performance.now() - began),
    connect() {
      began = performance.now();
      client = globalThis.Throughline.connect(`${base}/realtime`);
      for (const kind of ["state", "resumed", "caught_up", "gap", "skipped"]) {
        client.on(kind, (value) => note(kind, value));
      }
      client.on("error", ({ code, hint }) => note("error", { code, hint }));
      for (const name of Object.keys(got)) {
        const channel = client.channel(`chat:${name}`, name === "first" ? { since: "0" } : {});
        channel.on("subscribed", () => note("subscribed", { channel: name }));
        channel.on("gap", (gap) => note("gap of a channel", gap));
        channel.on("event", ({ data }) => {
          firstMs ??= Math.round(performance.now() - began);
          got[name].push(data.n);
        });
      }
    },
    /** Numbered messages; each tenth is larger by `padBytes`. */
    publish(from, count, padBytes) {
      for (let n = from; n < from + count; n += 1) {
        client
          .channel("chat:up")
          .publish({ n, ...(n % 10 === 5 && { pad: "x".repeat(padBytes) }) })
          .catch(({ code }) => {
            refused += 1;
            note("publish refused", { n, code });
          });
      }
    },
    seen() {
      return { notes, got, firstMs, refused, state: client.state, transport: client.transport };
    },
  };
  globalThis.gauntlet = gauntlet;
}
