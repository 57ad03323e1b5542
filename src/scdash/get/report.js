(() => {
  const root = document.getElementById("network");
  if (!root) return;
  const svg = root.querySelector("svg");
  const nodes = [...root.querySelectorAll(".node")].map((el) => ({
    el, name: el.dataset.name, x: +el.dataset.x, y: +el.dataset.y, w: +el.dataset.w, h: 18,
  }));
  const edges = [...root.querySelectorAll(".edge")].map((el) => ({
    el, from: nodes[+el.dataset.source], to: nodes[+el.dataset.target], rank: +el.dataset.rank,
    weight: +el.dataset.weight, prior: el.dataset.prior === "1",
  }));
  let chosen = null;

  // Where the straight line from a to b leaves the box of b.
  const border = (a, b) => {
    const dx = a.x - b.x, dy = a.y - b.y;
    const t = Math.min((b.w / 2 + 4) / (Math.abs(dx) || 1e-9), (b.h / 2 + 4) / (Math.abs(dy) || 1e-9), 1);
    return [b.x + dx * t, b.y + dy * t];
  };
  const place = () => {
    nodes.forEach((n) => n.el.setAttribute("transform", `translate(${n.x.toFixed(1)},${n.y.toFixed(1)})`));
    edges.forEach((e) => {
      const [x1, y1] = border(e.to, e.from), [x2, y2] = border(e.from, e.to);
      const cx = (x1 + x2) / 2 + (y2 - y1) * 0.08, cy = (y1 + y2) / 2 - (x2 - x1) * 0.08;
      e.el.setAttribute("d", `M${x1.toFixed(1)},${y1.toFixed(1)}Q${cx.toFixed(1)},${cy.toFixed(1)} ${x2.toFixed(1)},${y2.toFixed(1)}`);
    });
  };

  const most = root.querySelector("input[type=range]");
  const kind = root.querySelector("select");
  const search = root.querySelector("input[type=search]");
  const told = root.querySelector(".found");
  const show = () => {
    root.querySelector(".count").textContent = most.value;
    const shown = edges.filter((e) => {
      const fits = kind.value === "all" || (kind.value === "prior") === e.prior;
      const on = e.rank <= +most.value && fits;
      e.el.classList.toggle("hidden", !on);
      return on;
    });
    const near = new Set(chosen ? [chosen] : []);
    shown.forEach((e) => { if (e.from === chosen) near.add(e.to); if (e.to === chosen) near.add(e.from); });
    const used = new Set(shown.flatMap((e) => [e.from, e.to]));
    nodes.forEach((n) => {
      n.el.classList.toggle("hidden", !used.has(n));
      n.el.classList.toggle("faded", chosen !== null && !near.has(n));
    });
    edges.forEach((e) => e.el.classList.toggle("faded", chosen !== null && e.from !== chosen && e.to !== chosen));
    const list = (title, some) => `${title}: ${some.length ? some.join(", ") : "none"}`;
    const named = (e, n) => `${n.name} (${e.weight > 0 ? "+" : ""}${e.weight.toPrecision(2)})`;
    told.textContent = chosen === null
      ? "Click a gene for its regulators and targets; drag it to move it."
      : [chosen.name, list("regulators", shown.filter((e) => e.to === chosen).map((e) => named(e, e.from))),
         list("targets", shown.filter((e) => e.from === chosen).map((e) => named(e, e.to)))].join("; ");
  };

  const at = (event) => {
    const p = svg.createSVGPoint();
    p.x = event.clientX; p.y = event.clientY;
    return p.matrixTransform(svg.getScreenCTM().inverse());
  };
  nodes.forEach((n) => {
    n.el.addEventListener("pointerdown", (event) => {
      const start = at(event), x = n.x, y = n.y;
      let moved = false;
      n.el.setPointerCapture(event.pointerId);
      n.el.onpointermove = (e) => {
        const now = at(e);
        moved = moved || Math.hypot(now.x - start.x, now.y - start.y) > 3;
        if (moved) { n.x = x + now.x - start.x; n.y = y + now.y - start.y; place(); }
      };
      n.el.onpointerup = () => {
        n.el.onpointermove = n.el.onpointerup = null;
        if (!moved) { chosen = chosen === n ? null : n; show(); }
      };
    });
  });
  most.addEventListener("input", show);
  kind.addEventListener("change", show);
  search.addEventListener("input", () => {
    const text = search.value.trim().toLowerCase();
    chosen = nodes.find((n) => n.name.toLowerCase() === text) || null;
    show();
  });
  place();
  show();
})();
