// The picture above the panes: a cable from each end to the gateway, drawn after the transport that
// carries it, and a bead for each message that travels. Decoration: every fact it shows is text in a pane.

const SVG = "http://www.w3.org/2000/svg";
const BEADS_MAX = 24;
const TRAVEL_MS = 620;
const HANG = { share: 0.018, y: 20 };

/** Draws both cables inside `root` and redraws them when its width changes. */
export class Line {
  #root;
  #wires;
  #cables = new Map();
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(root) {
    this.#root = root;
    this.#wires = root.querySelector(".wires");
    for (const side of ["left", "right"]) this.#cables.set(side, this.#cable(side));
    new ResizeObserver(() => this.#draw()).observe(root);
  }

  /** Shows what carries an end: `look` is a transport, "down" or "unplugged". */
  show(side, look, label) {
    const cable = this.#cables.get(side);
    cable.group.dataset.look = look;
    cable.carrier.dataset.look = look;
    cable.carrier.textContent = label;
    this.#draw();
  }

  /** A message leaves (`up`) or reaches (`down`) the end at `side`; the bead has its sender's colour. */
  bead(side, direction, sender) {
    const { group, path } = this.#cables.get(side);
    if (this.#calm.matches || document.hidden || this.#wires.querySelectorAll(".bead").length >= BEADS_MAX) return;
    const bead = svg("circle", { r: 6, class: "bead", "data-sender": sender });
    bead.style.offsetPath = `path("${path.getAttribute("d")}")`;
    group.append(bead);
    const way = ["0%", "100%"];
    if (direction === "down") way.reverse();
    const run = bead.animate({ offsetDistance: way }, { duration: TRAVEL_MS, easing: "cubic-bezier(.4,0,.3,1)" });
    const remove = () => bead.remove();
    run.finished.then(remove, remove);
  }

  #cable(side) {
    const group = svg("g", { class: "cable", "data-side": side, "data-look": "down" });
    const path = svg("path", { class: "strand" });
    const flow = svg("path", { class: "flow" });
    const plug = svg("g", { class: "plug" });
    plug.append(
      svg("rect", { x: -9, y: -16, width: 18, height: 15, rx: 4 }),
      svg("path", { d: "M-4-1v7M4-1v7", class: "prongs" }),
    );
    group.append(path, flow, plug);
    this.#wires.append(group);
    return { group, path, flow, plug, carrier: this.#root.querySelector(`.carrier[data-side="${side}"]`) };
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#root;
    const middle = width / 2;
    const top = Math.round(height * 0.36);
    for (const [side, { group, path, flow, plug }] of this.#cables) {
      const inward = side === "left" ? 1 : -1;
      const hanging = group.dataset.look === "unplugged";
      const x = middle - inward * width * 0.41 + (hanging ? inward * width * HANG.share : 0);
      const end = height - 7 - (hanging ? HANG.y : 0);
      const bend = Math.min(22, end - top);
      const d = `M${x} ${end - 12}V${top + bend}Q${x} ${top} ${x + inward * bend} ${top}H${middle - inward * 40}`;
      path.setAttribute("d", d);
      flow.setAttribute("d", d);
      plug.setAttribute("transform", `translate(${x} ${end})${hanging ? ` rotate(${inward * 18})` : ""}`);
    }
  }
}

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
