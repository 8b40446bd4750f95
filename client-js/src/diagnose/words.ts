/** The findings in words: for the person in front of the page, and for who runs the network. */
import type { FindingCode, Verdict } from "./findings.ts";

export interface Words {
  readonly title: string;
  /** What the network's administrator, or the gateway's, can do. */
  readonly advice: string;
}

const PATH = "the gateway's path (by default /realtime)";

/** What each finding is called, and what helps. */
export const WORDS: Readonly<Record<FindingCode, Words>> = {
  captive_portal: {
    title: "Something else answers in place of the gateway",
    advice:
      "A portal, a filter or a cache answered. Open any web page and sign in to the network, or ask the administrator to let the gateway's host through unchanged. If the page is of another origin than the gateway, check that this origin is listed in the gateway's auth.origins.",
  },
  proxy_credentials: {
    title: "The proxy wants a name and a password",
    advice:
      "Requests wait for a login that this page cannot show. Open a web page in a new tab and sign in to the proxy, or ask the administrator to let the gateway's host through without authentication.",
  },
  unreachable: {
    title: "The gateway's host cannot be reached",
    advice:
      "Every request fails at once: the name is not found, the port is closed, a firewall blocks the host, or the certificate that a proxy shows is not trusted by this browser. Open the gateway's address in a tab of its own to see which. Where the proxy inspects TLS, its authority has to be installed on this machine.",
  },
  no_answer: {
    title: "The gateway's host does not answer",
    advice:
      "Requests leave and nothing comes back: a firewall drops them, or the gateway is down. Ask the administrator to allow the gateway's host and port; check that it is up.",
  },
  origin_refused: {
    title: "The gateway does not know this page's origin",
    advice: "Add the page's origin to auth.origins in the gateway's configuration.",
  },
  token_needed: {
    title: "The gateway wants a token",
    advice: "Run the diagnosis with a token; anonymous access is off there.",
  },
  gateway_refuses: {
    title: "The gateway refuses sessions",
    advice:
      "Its code says why; see section 8 of PROTOCOL.md. The network lets the gateway's answers through.",
  },
  get_only: {
    title: "Requests other than GET are refused",
    advice: `Allow POST on ${PATH}. Until then only a WebSocket can carry a session.`,
  },
  slow_network: {
    title: "The network is slow",
    advice:
      "Messages come late whatever carries them. A proxy or gateway nearer to the user helps.",
  },
  websocket_absent: {
    title: "This browser has no WebSocket, or may not use it here",
    advice:
      "A page that is served over https cannot open ws: addresses; serve the gateway over https, too.",
  },
  websocket_refused: {
    title: "WebSockets are refused",
    advice: `Allow the Upgrade: websocket of GET requests on ${PATH}, or, for an https gateway on port 443, do not inspect its TLS. A reverse proxy has to pass Upgrade and Connection on (nginx: proxy_http_version 1.1 and both headers).`,
  },
  websocket_hung: {
    title: "WebSocket handshakes are never answered",
    advice: `Something drops requests with Upgrade: websocket without an answer. Allow them on ${PATH}, or refuse them with a status, which clients notice at once.`,
  },
  websocket_swallowed: {
    title: "WebSockets open, but their messages do not come through",
    advice: `Something accepts the handshake and holds what follows, often an antivirus or a filter that inspects traffic. Exempt ${PATH}, or the gateway's host, from inspection.`,
  },
  websocket_cut: {
    title: "WebSockets are cut soon after they open",
    advice: `Something ends the connection once it sees messages. Exempt ${PATH} from inspection; check idle and life times of tunnels.`,
  },
  stream_absent: {
    title: "This browser cannot read answers while they come",
    advice: "Nothing is wrong with the network; a newer browser gets messages faster.",
  },
  stream_refused: {
    title: "Streamed answers are refused or cut off",
    advice: `Allow answers of type application/octet-stream and text/event-stream on ${PATH}.`,
  },
  stream_stored: {
    title: "The proxy stores answers until they are complete",
    advice: `Switch off response buffering for ${PATH} (nginx: proxy_buffering off; lighttpd: server.stream-response-body = 2; Varnish: beresp.do_stream), and exempt it from antivirus scanning of whole answers; or allow WebSockets there.`,
  },
  stream_trickled: {
    title: "Streamed answers come in pieces too small to use",
    advice: `A scanner trickles data while it waits for the end, or a compressor holds it. Exempt ${PATH} from scanning and compression.`,
  },
  stream_one_late: {
    title: "Each message comes only with the next one",
    advice: `A scanner or a compressor holds the last part of an answer back. Exempt ${PATH} from it (HAProxy: no compression there). The client copes by asking the gateway for fillers.`,
  },
  stream_bursts: {
    title: "Messages come in bursts",
    advice: `Something flushes answers by a clock. Exempt ${PATH} from buffering.`,
  },
  stream_delayed: {
    title: "Each streamed message is delayed by a fifth of a second or so",
    advice: "Where HAProxy is in front: option http-no-delay.",
  },
  stream_cut: {
    title: "Streams are cut early",
    advice: `Raise the time that answers may take on ${PATH} (Envoy: timeout 0s; nginx: proxy_read_timeout 1h). The client renews streams before the cut.`,
  },
  stream_by_type: {
    title: "Only one type of streamed answers comes through",
    advice: `The other type is stored or refused. The client uses the one that works; exempt ${PATH} from filters by type to have both.`,
  },
  poll_cut: {
    title: "Requests that wait for an answer are cut",
    advice: `Raise the time that an answer may take on ${PATH} to 30 s or more. The client asks for shorter waits.`,
  },
  body_limit: {
    title: "Larger requests are refused",
    advice: `Allow bodies of 64 KiB and more on ${PATH} (nginx: client_max_body_size).`,
  },
  body_inspected: {
    title: "Requests are refused by their type",
    advice: `A web application firewall minds some types of bodies. The client sends forms, which pass; nothing has to be done unless messages are refused.`,
  },
  preflight_refused: {
    title: "OPTIONS requests are refused",
    advice:
      "The client needs none. An application that posts JSON to this gateway from a page of another origin does.",
  },
};

/** The verdict in a sentence. */
export function sentence(best: Verdict, isClean: boolean): string {
  if (best === null) return "This network does not let the gateway through.";
  if (best === "websocket") {
    return isClean ? "Everything comes through." : "Live over WebSocket, the best there is.";
  }
  if (best === "poll")
    return "It works by asking again and again: WebSockets and streams do not come through.";
  return `Live over a stream${best === "sse" ? " of events" : ""}: WebSockets do not come through.`;
}
