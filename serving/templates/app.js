// Draws the charts of the page from the specifications it carries. Colours come from the style sheet,
// so that a change of the system's theme redraws them. Expressions are interpreted, never evaluated.
(() => {
  const holder = document.getElementById("charts");
  if (!holder) return;
  const specs = JSON.parse(holder.textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const config = () => ({
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    range: { category: [1, 2, 3, 4, 5, 6, 7].map((n) => colour(`series-${n}`)) },
    axis: {
      labelColor: colour("quiet"), titleColor: colour("quiet"), gridColor: colour("line"), domainColor: colour("line"),
      tickColor: colour("line"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 10,
    },
    legend: { labelColor: colour("ink"), labelFontSize: 13, symbolType: "circle", symbolStrokeWidth: 0, labelLimit: 260, ...(window.innerWidth < 520 && { columns: 1 }) },
    style: {
      zero: { color: colour("ink"), strokeWidth: 1.25 },
      margin: { color: colour("bad"), strokeWidth: 1.25, strokeDash: [5, 4] },
      band: { opacity: 0.2 },
      interval: { fillOpacity: 0.4 },
      estimate: { color: colour("ink") },
    },
  });
  const options = () => ({
    actions: false, ast: true, config: config(), defaultStyle: false, mode: "vega-lite", renderer: "svg",
    tooltip: { disableDefaultStyle: true },
  });
  const draw = () => document.querySelectorAll("[data-chart]").forEach((place) => {
    window.vegaEmbed(place, specs[place.dataset.chart], options()).catch((error) => {
      place.textContent = "This chart could not be drawn; its numbers are in the table.";
      console.error(error);
    });
  });
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
