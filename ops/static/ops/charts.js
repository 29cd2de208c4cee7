// The dashboard's charts, in the colours of the theme; drawn anew when the page has changed (live.js).
(() => {
  const text = window.opsText;
  let charts = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const clock = (at, long) => new Intl.DateTimeFormat("sv-SE", long
    ? { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" }
    : { hour: "2-digit", minute: "2-digit" }).format(new Date(at));
  const length = (ms) => (ms >= 3600000 ? text("h", { count: +(ms / 3600000).toFixed(1) }) : ms >= 60000 ? text("min", { count: +(ms / 60000).toFixed(1) })
    : ms >= 1000 ? text("s", { count: +(ms / 1000).toFixed(1) }) : text("ms", { count: +ms.toPrecision(2) }));

  function line(label, values, tone, more = {}) {
    return { type: "line", label, data: values, borderColor: colour(tone), backgroundColor: colour(tone), borderWidth: 2,
      pointRadius: values.filter((v) => v !== null).length < 40 ? 2 : 0, spanGaps: true, ...more };
  }

  // With points for keys, Chart.js draws every line solid.
  const legend = (chart) => Chart.defaults.plugins.legend.labels.generateLabels(chart).map((key) => {
    const { borderDash, borderWidth } = chart.data.datasets[key.datasetIndex];
    return { ...key, lineDash: borderDash ?? [], lineWidth: borderWidth ?? key.lineWidth };
  });

  const KINDS = {
    outcomes: (data) => ({
      stacked: true,
      datasets: data.outcomes.map((o) => ({ type: "bar", label: o.name, data: o.values, backgroundColor: colour(o.tone),
        stack: "all", maxBarThickness: 14, barPercentage: 0.9, categoryPercentage: 0.95 })),
    }),
    lateness: (data) => ({
      time: true,
      datasets: [
        line("p50", data.p50, "good"), line("p95", data.p95, "busy", { borderDash: [6, 3] }),
        line(text("max"), data.max, "muted", { borderDash: [2, 3] }),
        line(text("target"), data.at.map(() => data.objective), "bad", { borderWidth: 1, pointRadius: 0 }),
      ],
    }),
    times: (data) => ({
      time: true,
      datasets: [line(text("mean"), data.run, "busy"), line(text("max"), data.runMax, "muted", { borderDash: [2, 3] })],
    }),
  };

  function draw() {
    charts.forEach((chart) => chart.destroy());
    charts = [];
    const source = document.getElementById("chart-data");
    if (!source) return;
    const data = JSON.parse(source.textContent);
    const long = data.at[data.at.length - 1] - data.at[0] > 26 * 3600 * 1000;
    document.querySelectorAll("canvas[data-chart]").forEach((canvas) => {
      const kind = KINDS[canvas.dataset.chart](data);
      const bounds = kind.time ? decades(kind.datasets) : {};
      const ticks = { color: colour("soft"), font: { size: 12 }, maxRotation: 0, autoSkipPadding: 16 };
      charts.push(new Chart(canvas, {
        data: { labels: data.at.map((at) => clock(at, long)), datasets: kind.datasets },
        options: {
          animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
          plugins: {
            legend: { position: "bottom", align: "start", labels: { color: colour("ink"), boxWidth: kind.time ? 24 : 14, boxHeight: 8, usePointStyle: Boolean(kind.time), pointStyle: "line", font: { size: 12 }, generateLabels: legend } },
            tooltip: kind.time ? { callbacks: { label: (item) => `${item.dataset.label}: ${length(item.raw)}` } } : {},
          },
          scales: {
            x: { stacked: Boolean(kind.stacked), ticks, grid: { display: false }, border: { color: colour("line") } },
            y: { stacked: Boolean(kind.stacked), beginAtZero: !kind.time, type: kind.time ? "logarithmic" : "linear", ...bounds,
              ticks: { ...ticks, maxTicksLimit: 6, callback: kind.time ? decade : undefined }, grid: { color: colour("line") }, border: { display: false } },
          },
        },
      }));
    });
  }

  // Whole powers of ten around all values, so that the axis has names whatever it shows.
  function decades(datasets) {
    const values = datasets.flatMap((d) => d.data).filter((v) => v !== null && v > 0).map(Math.log10);
    const [low, high] = values.length ? [Math.floor(Math.min(...values)), Math.ceil(Math.max(...values))] : [0, 3];
    return { min: 10 ** low, max: 10 ** Math.max(high, low + 1) };
  }

  // Of a logarithmic axis only the powers of ten are named.
  const decade = (value) => (!Number.isInteger(Math.log10(value)) ? null
    : length(value));

  document.addEventListener("ops:updated", draw);
  document.addEventListener("DOMContentLoaded", () => {
    draw();
    new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["class"] });
  });
})();
