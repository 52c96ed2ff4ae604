// The neighbourhood of a node, drawn by cytoscape; places come from the server.
"use strict";

const place = document.querySelector("[data-graph]");
if (place) {
  fetch(place.dataset.graph, { headers: { accept: "application/json" } })
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
    .then(draw)
    .catch(() => { place.textContent = "The picture could not be made; the list names everybody."; });
}

function draw(found) {
  const run = new URLSearchParams(location.search).get("run");
  const cy = cytoscape({
    container: place,
    elements: [
      ...found.nodes.map(({ x, y, ...data }) => ({ data, position: { x, y } })),
      ...found.edges.map((edge) => ({ data: edge })),
    ],
    layout: { name: "preset", fit: true, padding: 24 },
    style: looks(),
    autoungrabify: true,
    boxSelectionEnabled: false,
    userZoomingEnabled: false,
    // A finger on the picture still scrolls the page.
    userPanningEnabled: !matchMedia("(pointer: coarse)").matches,
    minZoom: 0.2,
    maxZoom: 1.6,
  });
  place.dataset.drawn = found.nodes.length;
  cy.on("tap", "node", (event) => {
    const asked = new URLSearchParams({ n: event.target.id() });
    if (run) asked.set("run", run);
    if (event.target.data("ring") !== 0) location.assign(`/node?${asked}`);
  });
  cy.on("mouseover", "node", (event) => point(cy, event.target.id()));
  cy.on("mouseout", "node", () => point(cy, null));
  for (const row of document.querySelectorAll("[data-neighbour]")) {
    for (const [name, id] of [["mouseenter", row.dataset.neighbour], ["mouseleave", null]]) {
      row.addEventListener(name, () => point(cy, id));
    }
    row.addEventListener("focusin", () => point(cy, row.dataset.neighbour));
    row.addEventListener("focusout", () => point(cy, null));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cy.style(looks()));
  new ResizeObserver(() => { cy.resize(); cy.fit(undefined, 24); }).observe(place);
}

function point(cy, id) {
  cy.elements().removeClass("pointed faded");
  place.style.cursor = id ? "pointer" : "default";
  for (const row of document.querySelectorAll("[data-neighbour]")) {
    row.classList.toggle("pointed", row.dataset.neighbour === id);
  }
  const node = id ? cy.getElementById(id) : null;
  if (!node || node.empty()) return;
  const around = node.closedNeighborhood();
  cy.elements().not(around).addClass("faded");
  node.addClass("pointed");
}

function looks() {
  const colours = getComputedStyle(document.documentElement);
  const colour = (name) => colours.getPropertyValue(name).trim();
  const kind = (data) => colour(data.kind === "user" ? "--user" : "--item");
  return [
    {
      selector: "node",
      style: {
        shape: (node) => (node.data("kind") === "user" ? "ellipse" : "round-rectangle"),
        width: (node) => [30, 20, 10][node.data("ring")],
        height: (node) => [30, 20, 10][node.data("ring")],
        "background-color": (node) => kind(node.data()),
        "background-opacity": (node) => (node.data("ring") === 1 && !node.data("hops").length ? 0.35 : 1),
        label: (node) => (node.data("ring") === 2 ? "" : node.data("label")),
        color: colour("--ink"),
        "font-family": "Inter, system-ui, sans-serif",
        "font-size": (node) => (node.data("ring") === 0 ? 15 : 12),
        "font-weight": (node) => (node.data("ring") === 0 ? 600 : 400),
        "text-valign": "bottom",
        "text-margin-y": 5,
        "text-wrap": "ellipsis",
        "text-max-width": 130,
        "text-background-color": colour("--card"),
        "text-background-opacity": 0.85,
        "text-background-padding": 2,
        "z-index": (node) => 3 - node.data("ring"),
      },
    },
    {
      selector: "edge",
      style: {
        width: (edge) => (edge.data("heard") ? 1.8 : 1),
        "line-color": (edge) => colour(edge.data("heard") ? "--strong-line" : "--line"),
        "curve-style": "straight",
      },
    },
    { selector: ".faded", style: { opacity: 0.25 } },
    { selector: ".pointed", style: { label: "data(label)", "font-weight": 600, "z-index": 9 } },
  ];
}
