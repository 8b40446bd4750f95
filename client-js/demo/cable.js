// The network of one end, which can be unplugged: the SDK is given this `fetch` and this `WebSocket`.

/** A cable between one client and the gateway. */
export class Cable {
  plugged = true;

  /** What `connect` takes as `env`. */
  get env() {
    const cable = this;
    return {
      fetch(input, init) {
        return cable.plugged ? fetch(input, init) : Promise.reject(new TypeError("the cable is unplugged"));
      },
      WebSocket: class {
        constructor(url) {
          // A constructor may answer another object: the real socket, or one that fails.
          return cable.plugged ? new WebSocket(url) : new DeadSocket();
        }
      },
    };
  }
}

/** A WebSocket whose handshake fails a moment later, as it does without a network. */
class DeadSocket {
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  readyState = WebSocket.CONNECTING;

  constructor() {
    setTimeout(() => {
      if (this.readyState === WebSocket.CLOSED) return;
      this.close();
      this.onerror?.(new Event("error"));
      this.onclose?.(new CloseEvent("close", { code: 1006 }));
    }, 0);
  }

  send() {
    throw new DOMException("the cable is unplugged", "InvalidStateError");
  }

  close() {
    this.readyState = WebSocket.CLOSED;
  }
}
