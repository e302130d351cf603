// The last minute of answers, on a logarithmic scale: a thousandth of a second and ten of them on one picture.
import { now } from "./time.js";

const SPAN = 60;
const LEAST = 0.001;
const kinds = ["first", "second", "own"];
const place = document.getElementById("chart");
const points = []; // {at, kind, seconds}, oldest first
let plot = null;

export function add(kind, at, seconds) {
  const point = { at, kind, seconds: Math.max(LEAST, seconds) };
  let spot = points.length; // answers may be told a little late
  while (spot && points[spot - 1].at > at) spot--;
  points.splice(spot, 0, point);
}

export function draw() {
  const to = now();
  while (points.length && points[0].at < to - SPAN - 10) points.shift();
  const data = [points.map((point) => point.at), ...kinds.map((kind) => points.map((point) => (point.kind === kind ? point.seconds : null)))];
  plot ??= make();
  plot.batch(() => {
    plot.setData(data, false);
    plot.setScale("x", { min: to - SPAN, max: to });
  });
}

// Canvas knows nothing of custom properties that follow the colour scheme; the keys below the chart do.
function colour(kind) {
  return getComputedStyle(document.querySelector(`.key.${kind}`), "::before").color;
}

function soft(property) {
  return () => getComputedStyle(place)[property];
}

function dots(kind, isFilled) {
  return { stroke: () => colour(kind), paths: () => null, points: { show: true, size: 9, width: 2, stroke: () => colour(kind), fill: () => (isFilled ? colour(kind) : getComputedStyle(place).backgroundColor) } };
}

function make() {
  const axis = { stroke: soft("color"), font: "12px system-ui, sans-serif", grid: { stroke: soft("borderTopColor"), width: 1 }, ticks: { show: false } };
  const chart = new uPlot({
    ...size(),
    cursor: { show: false },
    legend: { show: false },
    scales: { x: { time: false }, y: { distr: 3, range: [LEAST, 30] } },
    axes: [
      { ...axis, grid: { show: false }, size: 30, splits: (_, __, min, max) => [45, 30, 15, 0].map((ago) => max - ago), values: (_, splits) => splits.map((split) => { const ago = Math.round(splits.at(-1) - split); return ago ? `${ago} s ago` : "now"; }) },
      { ...axis, size: 58, splits: () => [0.001, 0.01, 0.1, 1, 10], values: (_, splits) => splits.map((split) => (split < 1 ? `${split * 1000} ms` : `${split} s`)), filter: (_, splits) => splits },
    ],
    series: [{}, dots("first", true), dots("second", false), { stroke: () => colour("own"), width: 2, spanGaps: true, points: { show: false } }],
  }, [[], [], [], []], place);
  new ResizeObserver(() => chart.setSize(size())).observe(place);
  return chart;
}

function size() {
  return { width: place.clientWidth, height: place.clientHeight };
}
