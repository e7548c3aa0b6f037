"use strict";
// Draws every embedded figure in the colours of the style sheet, and again when those change.
(() => {
  const figures = [...document.querySelectorAll("script[data-plot]")].map((script) => ({
    node: document.getElementById(script.dataset.plot),
    figure: JSON.parse(script.textContent),
  }));

  function resolved(value, style) {
    if (typeof value === "string") return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) return value.map((item) => resolved(item, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item, style)]));
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const config = { responsive: true, displayModeBar: false };
    for (const { node, figure } of figures) {
      const { data, layout } = resolved(figure, style);
      Plotly.react(node, data, layout, config);
    }
  }

  const printing = (on) => () => { document.documentElement.classList.toggle("printing", on); draw(); };
  window.addEventListener("beforeprint", printing(true));
  window.addEventListener("afterprint", printing(false));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
