// The page of opud comes complete from the server. This script keeps it live: the server
// sends the parts that change as events, and pictures and figures of what the camera
// sees are asked for while somebody looks at them.
"use strict";
(() => {
  const $ = id => document.getElementById(id);
  const second = 1000;

  // --- the parts of the page ---

  // replace puts HTML of the server in its place, and leaves open and focused what was.
  function replace(id, html) {
    const place = $(id);
    if (!place) return;
    const open = [...place.querySelectorAll("details[open]")].map(d => d.id);
    const focus = place.contains(document.activeElement) ? document.activeElement.id : "";
    place.innerHTML = html;
    for (const o of open) if ($(o)) $(o).open = true;
    if (focus && $(focus)) $(focus).focus();
  }

  // --- the stream of events ---

  const silence = 4 * second; // events come every second
  let stream, heard = Date.now(), gone = false, build;

  function listen() {
    if (stream) stream.close();
    stream = new EventSource("/page/events");
    stream.addEventListener("page", e => {
      const page = JSON.parse(e.data);
      if (build && build !== page.build) return location.reload(); // another program answers
      build = page.build;
      heard = Date.now();
      if (gone) back();
      for (const id in page.parts) replace(id, page.parts[id]);
      if (page.title && document.title !== page.title) document.title = page.title;
      charts.add(page.samples);
    });
  }

  // watch says that the server is gone, and asks until it is back.
  async function watch() {
    if (document.hidden || Date.now() - heard < silence) return;
    if (!gone) {
      gone = true;
      document.body.classList.add("gone");
      $("gone").textContent = "opud does not answer since " + new Date(heard).toLocaleTimeString([], {hourCycle: "h23"}) +
        ". What stands below is from then. The page goes on by itself when opud is back.";
      $("gone").hidden = false;
      document.title = "OPU: no answer";
    }
    if (stream.readyState !== EventSource.CLOSED && Date.now() - tried < 3 * second) return;
    tried = Date.now();
    try {
      const answer = await fetch("/opu/v1/version", {cache: "no-store"});
      if (answer.status === 401) return location.reload(); // signed out: it asks for the token
    } catch {
      return; // still gone
    }
    listen();
  }
  let tried = 0;

  function back() {
    gone = false;
    document.body.classList.remove("gone");
    $("gone").hidden = true;
    charts.load();
  }

  // --- what the camera sees ---

  async function look() {
    let wait = second;
    if (!document.hidden && !gone) {
      const seen = await see().catch(() => false);
      for (const id of ["frame", "spectrum"]) $(id).closest("figure").classList.toggle("stale", !seen);
      if (!seen) wait = 3 * second;
    }
    setTimeout(look, wait);
  }

  // see shows the present view, or why there is none, and returns whether there is one.
  async function see() {
    const answer = await fetch("/page/view", {cache: "no-store"});
    if (!answer.ok) return false;
    replace("view", await answer.text());
    const view = $("view").querySelector("[data-view]");
    if (!view) return false;
    if (view.dataset.view !== shown) await Promise.all(["frame", "spectrum"].map(id => picture(id, view.dataset.view)));
    shown = view.dataset.view;
    $("now").innerHTML = view.querySelector("template.now")?.content.firstElementChild.innerHTML ?? "";
    return true;
  }
  let shown;

  // picture changes an image once the next one is there, so that nothing flickers.
  async function picture(id, number) {
    const next = new Image();
    next.src = `/page/${id}.png?view=${number}`;
    await next.decode();
    $(id).src = next.src;
    $(id).hidden = false;
  }

  // --- charts ---

  const charts = (() => {
    const most = 15 * 60;
    let data = [[], [], [], []]; // time, projections, frames, health
    let plots = [];

    const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

    // range is what there is, and a minute at least.
    const range = () => { const end = data[0].at(-1) ?? Date.now() / 1000; return [Math.min(data[0][0] ?? end, end - 60), end]; };
    const clock = (t, options) => new Date(t * 1000).toLocaleTimeString([], {hourCycle: "h23", ...options});

    // value writes that under the cursor, else the last one.
    const value = write => (u, v, series, index) => {
      if (index == null) v = u.data[series].findLast(x => x != null);
      return v == null ? "–" : write(v);
    };
    const number = value(v => v.toLocaleString([], {maximumSignificantDigits: 3}));

    function draw() {
      plots.forEach(p => p.destroy());
      const axis = {stroke: color("--soft"), grid: {stroke: color("--line"), width: 1}, ticks: {stroke: color("--line"), width: 1}};
      const axes = [{...axis, space: 80, values: (u, times, i, space, step) => times.map(t => clock(t, step < 60 ? {} : {hour: "2-digit", minute: "2-digit"}))}, {...axis, size: 60}];
      const plot = (id, y, columns, ...series) => new uPlot({
        width: $(id).clientWidth, height: 200, axes, cursor: {drag: {x: false, y: false}}, scales: {x: {range}, y: {range: y}},
        series: [{label: "at", value: (u, t) => t == null ? "now" : clock(t)}, ...series.map(s => ({points: {show: false}, ...s}))],
      }, columns, $(id));
      plots = [
        plot("throughput", (u, lo, hi) => [0, Math.max(1.1 * hi, 1)], throughput(),
          {label: "projections/s", stroke: color("--first"), width: 2, value: number},
          {label: "frames/s", stroke: color("--second"), width: 1.5, value: number}),
        plot("health", (u, lo) => [Math.min(0.7, lo ?? 0.7), 1.02], health(),
          {label: "correlation", stroke: color("--first"), width: 2, spanGaps: true, value: value(v => v.toFixed(3))},
          {label: "the epoch ends at", stroke: color("--bad"), width: 1, dash: [4, 3], value: () => limit}),
      ];
    }

    const limit = 0.8;
    const throughput = () => data.slice(0, 3);
    const health = () => [data[0], data[3], data[0].map(() => limit)];

    function update() {
      if (plots.length === 0) return;
      plots[0].setData(throughput());
      plots[1].setData(health());
    }

    const columns = s => [s.time, s.projections_per_s, s.frames_per_s, s.health];

    return {
      async load() {
        const answer = await fetch("/opu/v1/history", {cache: "no-store"}).catch(() => null);
        if (!answer || !answer.ok) return;
        data = columns(await answer.json());
        $("charts").hidden = false;
        draw();
      },
      add(samples) {
        const next = columns(samples);
        if (plots.length === 0 || !next[0] || next[0].length === 0 || next[0][0] <= (data[0].at(-1) ?? 0)) return;
        data = data.map((column, i) => column.concat(next[i]).slice(-most));
        update();
      },
      draw,
      resize() { plots.forEach((p, i) => p.setSize({width: $(["throughput", "health"][i]).clientWidth, height: 200})); },
    };
  })();

  listen();
  setInterval(watch, second);
  if ($("frame")) look();
  charts.load();
  addEventListener("resize", charts.resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts.draw);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stream.close(); // a browser has few connections to a server
    heard = Date.now();
    listen();
    charts.load();
  });
})();
