/** What boxes do to a connection of which they do not know what is spoken on it. */

/** Bytes that come at once on a slow line. */
const SEGMENT_BYTES = 500;

/** 300 ms each way, and 16 kbit/s down. */
export function slow(client, out) {
  let free = 0;
  client.on("data", (part) => setTimeout(() => out.write(part), 300));
  const down = (part) => {
    const now = Date.now();
    free = Math.max(free, now) + part.length / 2;
    setTimeout(() => client.write(part), 300 + free - now);
  };
  out.on("data", (part) => {
    for (let at = 0; at < part.length; at += SEGMENT_BYTES) {
      down(part.subarray(at, at + SEGMENT_BYTES));
    }
  });
}

/** 50 ms each way; a connection costs a round trip more before its first byte is there. */
export function far(client, out) {
  let openMs = 100;
  client.on("data", (part) => {
    setTimeout(() => out.write(part), 50 + openMs);
    openMs = 0;
  });
  out.on("data", (part) => setTimeout(() => client.write(part), 50));
}

/** A reset after 8 kB in either direction. */
export function quota(client, out) {
  let bytes = 0;
  const count = (part, to) => {
    bytes += part.length;
    if (bytes > 8_000) return client.resetAndDestroy();
    to.write(part);
  };
  client.on("data", (part) => count(part, out));
  out.on("data", (part) => count(part, client));
}

/** A reset at a WebSocket's frame above 32 KiB, in either direction. */
export function maxFrame(client, out) {
  for (const [from, to] of [
    [client, out],
    [out, client],
  ]) {
    let buffered = Buffer.alloc(0);
    let isOpen = false;
    let left = 0;
    from.on("data", (part) => {
      buffered = Buffer.concat([buffered, part]);
      if (!isOpen) {
        const end = buffered.indexOf("\r\n\r\n");
        isOpen = /^(GET \S+ws |HTTP\S+ 101 )/.test(buffered.toString("latin1", 0, 80)) && end > 0;
        to.write(part);
        buffered = isOpen ? buffered.subarray(end + 4) : Buffer.alloc(0);
        if (!isOpen) return;
      } else to.write(part);
      for (;;) {
        const gone = Math.min(left, buffered.length);
        buffered = buffered.subarray(gone);
        left -= gone;
        const size = frameSize(buffered);
        if (size === null || left > 0) return;
        if (size > 32_768) return client.resetAndDestroy();
        left = size;
      }
    });
  }
}

/** Bytes of a frame with its header (RFC 6455 5.2); null where the header is not all there. */
function frameSize(bytes) {
  if (bytes.length < 2) return null;
  const short = bytes[1] & 0x7f;
  const header = 2 + (bytes[1] & 0x80 ? 4 : 0) + (short === 126 ? 2 : short === 127 ? 8 : 0);
  if (bytes.length < header) return null;
  if (short === 127) return header + Number(bytes.readBigUInt64BE(2));
  return header + (short === 126 ? bytes.readUInt16BE(2) : short);
}
