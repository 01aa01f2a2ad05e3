/* Trends, plant tree and guidance card: parts of anlan.js's shared frame that only some pages show. */
"use strict";
(() => {
  const A = window.anlan, { $, $$, T, esc, put, cls, named, get, fmt, shape, badClass, pointOf, valueOf, pointValue, unitName, boot, zh } = A;
  const SERIES = { dark: ["#8fc1d9", "#c3b1e6", "#9dcfb5", "#d8aac6", "#c9ccd0", "#86a3d6", "#bcc68e", "#8a95a1"], light: ["#1f6482", "#6b4a9a", "#2f7a55", "#8a4d74", "#33393f", "#3a5aa0", "#67702c", "#7d878f"] };
  const params = () => new URLSearchParams(location.search);
  const hatch = (() => { let made; return () => { if (made) return made; const c = document.createElement("canvas"); c.width = c.height = 8; const g = c.getContext("2d"); g.strokeStyle = boot.theme === "light" ? "rgba(60,70,80,.35)" : "rgba(160,172,184,.3)"; g.lineWidth = 1.2; g.beginPath(); g.moveTo(-2, 2); g.lineTo(2, -2); g.moveTo(0, 8); g.lineTo(8, 0); g.moveTo(6, 10); g.lineTo(10, 6); g.stroke(); return (made = { image: c, repeat: "repeat" }); }; })();
  const localInput = (us) => `${A.day(us)} ${A.hm.format(us / 1000)}`;
  const fromLocal = (text) => { // a time of the site's zone as typed, to µs UTC
    const guess = Date.parse(text.trim().replace(/\s+/, "T") + "Z"); if (Number.isNaN(guess)) return 0;
    let at = guess;
    for (let i = 0; i < 2; i++) { const shown = Date.parse(`${A.day(at * 1000)}T${A.hms.format(at)}Z`); at += guess - shown; }
    return at * 1000;
  };
  const short = (p) => named(p) || p.path.split("/").pop();

  /* ---- trends ------------------------------------------------------------------------------------------------- */
  async function trends(node) {
    const [echarts, plant] = await Promise.all([A.loadCharts(), A.loadPlant()]);
    const q = params(), colors = A.palette(), hues = SERIES[boot.theme];
    const shown = { points: (q.get("points") || "").split(",").map(Number).filter((n) => plant.byNumber.has(n)).slice(0, 12), span: +(q.get("span") || 3600e6), end: +(q.get("end") || 0) };
    if (!shown.points.length && !q.has("points")) shown.points = plant.key.slice(0, 3);
    put(node, `<div class="bar" style="padding:7px 10px;border-bottom:1px solid var(--soft)"><span id="tr-chips" class="bar"></span><span style="position:relative"><input class="in" id="tr-add" placeholder="${esc(T("trends.add"))}" style="width:190px" autocomplete="off"><div id="tr-found" class="q-menu hidden" style="position:absolute;top:30px;left:0;z-index:30;width:420px;max-height:340px;overflow:auto"></div></span><span class="grow"></span>` +
      `<span class="tabs" style="height:28px">${[[600e6, "10 min"], [3600e6, "1 h"], [8 * 3600e6, "8 h"], [86400e6, "24 h"], [7 * 86400e6, "7 d"]].map(([s, t]) => `<button data-span="${s}">${t}</button>`).join("")}</span><button class="btn" id="tr-live">● ${esc(T("trends.live"))}</button></div>` +
      `<div class="bar" style="padding:6px 10px;border-bottom:1px solid var(--soft)"><label class="low">${esc(T("trends.from"))} <input class="in num" id="tr-from" size="15" placeholder="2026-01-31 08:00"></label><label class="low">${esc(T("trends.to"))} <input class="in num" id="tr-to" size="15" placeholder="2026-01-31 09:00"></label><button class="btn" id="tr-go">${esc(T("trends.show"))}</button><span id="tr-note" class="low"></span><span class="grow"></span><button class="btn" id="tr-link">${esc(T("trends.copy"))}</button><a class="btn" id="tr-csv" download>CSV</a><a class="btn" id="tr-parquet" download>Parquet</a></div>` +
      `<div class="cols" style="gap:0"><div class="chart" id="tr-chart"></div><div style="width:${innerWidth < 1500 ? 250 : 320}px;border-left:1px solid var(--soft);overflow:auto;flex:none"><table class="plain" id="tr-table"></table></div></div>`);
    const chart = echarts.init($("#tr-chart", node));
    A.watchSize($("#tr-chart", node), chart);
    const data = new Map();
    let marks = [], cursor = null, serial = 0, timer = 0, cones = new Map(), ahead = 0;
    const readCones = async () => { // where the points are going, when a room that knows adds it
      const found = live() && A.cones ? await A.cones(shown.points, shown.span) : new Map();
      cones = found; ahead = found.size ? A.coneAhead(found, shown.span) : 0;
    };
    const live = () => !shown.end;
    const window_ = () => { const end = shown.end || A.now(); return [end - shown.span, end]; };
    const hueOf = (n) => { const p = plant.byNumber.get(n), mates = shown.points.filter((m) => plant.byNumber.get(m).unit === p.unit); return mates.length === 1 ? colors.trend : hues[mates.indexOf(n) % hues.length]; };
    const groups = () => { const by = new Map(); for (const n of shown.points) { const p = plant.byNumber.get(n); by.set(p.unit, [...(by.get(p.unit) || []), n]); } return [...by.entries()]; };
    const gaps = (series, start, end) => { // where quality is bad, or nothing came, the trend says so
      const areas = []; let from = null;
      series.t.forEach((t, i) => { if (badClass(series.q[i])) from ??= t; else if (from !== null) { areas.push([{ xAxis: from }, { xAxis: t }]); from = null; } });
      if (from !== null) areas.push([{ xAxis: from }, { xAxis: end / 1000 }]);
      return areas;
    };
    function layout() {
      const list = groups(), [start, end] = window_(), top = 14, bottom = 30, gap = 16;
      const total = chart.getHeight() - top - bottom - gap * (list.length - 1), each = Math.max(40, total / Math.max(1, list.length));
      const option = { animation: false, textStyle: { fontFamily: A.font }, grid: [], xAxis: [], yAxis: [], series: [], axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: colors.accent, type: "solid" }, label: { show: false } }, tooltip: { trigger: "axis", showContent: false }, dataZoom: [{ type: "inside", xAxisIndex: list.map((_, i) => i), filterMode: "none", zoomOnMouseWheel: true, moveOnMouseMove: true }] };
      list.forEach(([unit, numbers], i) => {
        option.grid.push({ left: 62, right: 18, top: top + i * (each + gap), height: each });
        option.xAxis.push({ type: "time", gridIndex: i, min: start / 1000, max: (end + ahead) / 1000, axisLine: { lineStyle: { color: colors.line } }, axisTick: { show: false }, axisLabel: { show: i === list.length - 1, color: colors.low, fontSize: 11, hideOverlap: true, formatter: (v) => (shown.span > 86400e6 ? `${A.day(v * 1000).slice(5)} ${A.hm.format(v)}` : shown.span < 1200e6 ? A.hms.format(v) : A.hm.format(v)) }, splitLine: { show: true, lineStyle: { color: colors.soft } } });
        const limits = numbers.length <= 2 ? numbers.flatMap((n) => plant.alarms.filter((a) => a.point === n && a.limit != null && A.limitColor[a.kind])) : [];
        const lines = limits.map((a) => ({ yAxis: a.limit, lineStyle: { color: colors[A.limitColor[a.kind]], type: "dashed", width: 1 }, label: { show: true, formatter: `${a.kind} ${fmt(a.limit)}`, position: "insideEndTop", color: colors.low, fontSize: 10, distance: 2 } }));
        option.yAxis.push({ type: "value", gridIndex: i, scale: true, name: unit, nameLocation: "end", nameGap: 2, nameTextStyle: { color: colors.low, fontSize: 11, align: "right", padding: [0, 6, 0, 0] }, axisLabel: { color: colors.low, fontSize: 11, showMinLabel: false, showMaxLabel: false, formatter: (v) => +v.toPrecision(5) }, splitLine: { lineStyle: { color: colors.soft } },
          min: (v) => { const near = limits.map((a) => a.limit).filter((y) => y < v.min && v.min - y < (cones.size ? 0.4 : 1.5) * (v.max - v.min)); const low = Math.min(v.min, ...near); return low - 0.06 * (v.max - low || 1); }, max: (v) => { const near = limits.map((a) => a.limit).filter((y) => y > v.max && y - v.max < (cones.size ? 0.6 : 3) * (v.max - v.min || Math.abs(v.max) * 0.1)); const high = Math.max(v.max, ...near); return high + 0.06 * (high - v.min || 1); } });
        numbers.forEach((n, j) => {
          const color = hueOf(n), series = data.get(n) || { t: [], v: [], q: [] };
          const rows = series.t.map((t, k) => [t, badClass(series.q[k]) ? null : series.v[k]]);
          option.series.push({ id: String(n), name: short(plant.byNumber.get(n)), type: "line", xAxisIndex: i, yAxisIndex: i, showSymbol: false, data: rows, lineStyle: { color, width: 1.6 }, itemStyle: { color }, connectNulls: false, silent: true,
            step: plant.byNumber.get(n).states && Object.keys(plant.byNumber.get(n).states).length ? "end" : false,
            markLine: { silent: true, symbol: "none", animation: false, data: j === 0 ? lines : [] }, markArea: { silent: true, itemStyle: { color: hatch() }, data: gaps(series, start, end) },
            markPoint: { silent: false, animation: false, data: marks.filter((m) => m.point === n && m.t >= start && m.t <= end).map((m) => ({ coord: [m.t / 1000, m.v ?? 0], symbol: { 1: "rect", 2: "triangle", 3: "triangle", 4: "diamond" }[m.priority], symbolRotate: m.priority === 3 ? 180 : 0, symbolSize: 10, itemStyle: { color: colors[`p${m.priority}`], borderColor: colors.panel, borderWidth: 1 }, label: { show: false }, name: m.alarm })) } });
          if (cones.has(n)) option.series.push(...A.coneSeries(cones.get(n), i, color, end + ahead, colors));
        });
      });
      chart.setOption(option, { notMerge: true });
      chart.getZr().off("dblclick"); chart.getZr().on("dblclick", () => { shown.end = 0; load(); });
    }
    const limitText = (n) => { const found = plant.alarms.filter((a) => a.point === n && a.limit != null && A.limitColor[a.kind]); return found.length ? `<br><small class="low">${found.map((a) => `${a.kind} <span class="num">${fmt(a.limit)}</span>`).join(" · ")}</small>` : ""; };
    function table() {
      const at = cursor;
      put($("#tr-table", node), `<thead><tr><th>${esc(T("col.point"))}</th><th class="r">${at ? `<span class="num">${A.time(at)}</span>` : esc(T("col.now"))}</th><th></th></tr></thead>` + shown.points.map((n, i) => {
        const p = plant.byNumber.get(n), series = data.get(n), worst = A.worstOf(n);
        let value = valueOf(n);
        if (at && series) { let k = -1; for (let lo = 0, hi = series.t.length - 1; lo <= hi;) { const mid = (lo + hi) >> 1; if (series.t[mid] * 1000 <= at) { k = mid; lo = mid + 1; } else hi = mid - 1; } value = k < 0 ? null : { v: series.v[k], q: series.q[k] }; }
        const good = series ? series.v.filter((v, k) => v !== null && !badClass(series.q[k])) : [];
        const low = good.length ? good.reduce((a, b) => Math.min(a, b)) : null, high = good.length ? good.reduce((a, b) => Math.max(a, b)) : null;
        return `<tr><td style="border-left:4px solid ${hueOf(n)}"><a href="/plant?point=${encodeURIComponent(p.path)}">${esc(short(p))}</a><br><small class="low">${esc(p.tag || p.path)}</small><br><small class="low">${esc(T("trends.range"))} <span class="num">${fmt(low)} … ${fmt(high)}</span></small>${limitText(n)}</td><td class="r"><span class="chip ${worst && !at ? `p${worst}` : ""} ${value && badClass(value.q) ? "hatched" : ""}">${pointValue(p, value)}</span><br><small class="low">${esc(value && badClass(value.q) ? A.qualityText(value.q) : p.unit)}</small></td><td><button class="mini" data-drop="${n}" aria-label="${esc(T("trends.remove"))}">×</button></td></tr>`;
      }).join(""));
    }
    function chrome() {
      put($("#tr-chips", node), `<b class="hi">${esc(T("trends.title"))}</b><span class="low">${esc(T("trends.count", { n: shown.points.length }))}</span>`);
      for (const b of $$("[data-span]", node)) cls(b, "on", +b.dataset.span === shown.span);
      cls($("#tr-live", node), "main", live());
      const [start, end] = window_(), query = `points=${shown.points.join(",")}&start=${Math.round(start)}&end=${Math.round(end)}`;
      if (!["tr-from", "tr-to"].includes(document.activeElement?.id)) { $("#tr-from", node).value = localInput(start); $("#tr-to", node).value = localInput(end); }
      for (const kind of ["csv", "parquet"]) { const a = $(`#tr-${kind}`, node); a.href = `/console/export?${query}&format=${kind}`; cls(a, "off", !shown.points.length); }
      history.replaceState(null, "", `?points=${shown.points.join(",")}&span=${Math.round(shown.span)}${shown.end ? `&end=${Math.round(shown.end)}` : ""}`);
    }
    async function load() {
      const mine = ++serial, [start, end] = window_();
      chrome();
      const empty = !shown.points.length;
      let note = $("#tr-empty", node);
      if (empty) { chart.clear(); data.clear(); if (!note) $("#tr-chart", node).append(A.el("div", { class: "empty", id: "tr-empty", style: "position:absolute;inset:0" }, `<b>${esc(T("trends.empty"))}</b><span>${esc(T("trends.empty_hint"))}</span>`)); table(); A.want(); return; }
      note?.remove();
      put($("#tr-note", node), esc(T("trends.loading")));
      try {
        const query = `points=${shown.points.join(",")}&start=${Math.round(start)}&end=${Math.round(end)}`;
        const [answer, marked] = await Promise.all([get(`/console/series?${query}&width=${Math.max(200, chart.getWidth() - 80)}`), get(`/console/marks?${query}`).catch(() => ({ marks: [] })), readCones().catch(() => {})]);
        if (mine !== serial) return;
        for (const n of shown.points) data.set(n, answer.series[n] || { t: [], v: [], q: [] });
        marks = marked.marks;
        const rows = shown.points.reduce((sum, n) => sum + data.get(n).t.length, 0);
        put($("#tr-note", node), esc(rows ? T(answer.kind === "raw" ? "trends.raw" : "trends.reduced", { n: rows }) : T("trends.no_data")));
      } catch (error) { put($("#tr-note", node), `<span class="pill warn">${esc(error.message)}</span>`); for (const n of shown.points) if (!data.has(n)) data.set(n, { t: [], v: [], q: [] }); }
      layout(); table(); A.want();
    }
    chart.on("datazoom", () => { clearTimeout(timer); timer = setTimeout(() => {
      const zoomed = chart.getOption().dataZoom[0]; if (zoomed.startValue == null) return;
      const start = zoomed.startValue * 1000, now = A.now(), end = ahead && zoomed.endValue * 1000 > now - 2e6 ? now : zoomed.endValue * 1000;
      if (Math.abs(end - start - shown.span) < 1000 && live()) return;
      shown.span = Math.max(10e6, end - start); shown.end = end >= now - 2e6 ? 0 : end; load();
    }, 250); });
    chart.on("updateAxisPointer", (event) => { const info = event.axesInfo?.[0]; cursor = info ? info.value * 1000 : null; table(); });
    chart.getZr().on("globalout", () => { cursor = null; table(); });
    node.addEventListener("click", (event) => {
      const t = event.target;
      if (t.dataset.span) { shown.span = +t.dataset.span; load(); }
      else if (t.dataset.drop) { shown.points = shown.points.filter((n) => n !== +t.dataset.drop); load(); }
      else if (t.id === "tr-live") { shown.end = live() ? A.now() : 0; load(); }
      else if (t.id === "tr-go") { const from = fromLocal($("#tr-from", node).value), to = fromLocal($("#tr-to", node).value); if (from && to > from) { shown.span = to - from; shown.end = to; load(); } else put($("#tr-note", node), `<span class="pill warn">${esc(T("trends.bad_range"))}</span>`); }
      else if (t.id === "tr-link") navigator.clipboard?.writeText(location.href).then(() => put($("#tr-note", node), esc(T("trends.copied"))));
      else if (t.closest("[data-add]")) { shown.points = [...new Set([...shown.points, +t.closest("[data-add]").dataset.add])].slice(0, 12); cls($("#tr-found", node), "hidden", true); $("#tr-add", node).value = ""; load(); }
    });
    $("#tr-add", node).addEventListener("input", (event) => {
      const text = event.target.value.trim().toLowerCase(), box = $("#tr-found", node), found = text ? findPoints(text, 30) : [];
      cls(box, "hidden", !text);
      put(box, found.map((p) => `<div class="q-item" style="cursor:pointer;display:flex;gap:8px;align-items:center" data-add="${p.number}"><span>${esc(short(p))}</span><span class="low">${esc(p.tag)}</span><small class="low" style="margin-left:auto">${esc(unitName(p.path))}</small></div>`).join("") || `<div class="q-item low">${esc(T("search.nothing"))}</div>`);
    });
    $("#tr-add", node).addEventListener("keydown", (event) => { if (event.key === "Enter") $("[data-add]", node)?.click(); if (event.key === "Escape") { event.target.value = ""; cls($("#tr-found", node), "hidden", true); } });
    new ResizeObserver(() => { if (data.size) layout(); }).observe($("#tr-chart", node));
    let ticks = 0;
    A.register({ node, want: () => shown.points, frame() {
      if (!live() || !data.size) { if (!cursor) table(); return; }
      const [start, end] = window_(), update = [];
      for (const n of shown.points) {
        const series = data.get(n), value = valueOf(n);
        if (!series) continue;
        if (value && value.t && (!series.t.length || value.t / 1000 > series.t[series.t.length - 1])) { series.t.push(value.t / 1000); series.v.push(value.v); series.q.push(value.q); }
        while (series.t.length > 2 && series.t[1] * 1000 < start) { series.t.shift(); series.v.shift(); series.q.shift(); }
        update.push({ id: String(n), data: series.t.map((t, k) => [t, badClass(series.q[k]) ? null : series.v[k]]) });
      }
      chart.setOption({ xAxis: groups().map(() => ({ min: start / 1000, max: (end + ahead) / 1000 })), series: update }, { lazyUpdate: true });
      if (++ticks % 5 === 0) chrome();
      if (ticks % 15 === 0) { const before = cones; readCones().then(() => { if (before.size || cones.size) layout(); }).catch(() => {}); }
      if (!cursor) table();
    } });
    A.trend = { chart, data, shown, load };
    await load();
    node.dataset.ready = "1";
  }
  const findPoints = (text, limit) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean), hits = [];
    for (const p of A.plant.points) {
      p._text ||= `${p.path} ${p.name || ""} ${p.name_en || ""} ${p.tag || ""} ${unitName(p.path)}`.toLowerCase();
      if (words.every((w) => p._text.includes(w))) { hits.push(p); if (hits.length >= limit) break; }
    }
    return hits;
  };

  /* ---- plant tree --------------------------------------------------------------------------------------------- */
  async function plantTree(node) {
    const plant = await A.loadPlant(), q = params();
    let chosen = q.get("point") || q.get("unit") || "", filter = "";
    const open = new Set();
    const openTo = (path) => { const parts = path.split("/"); for (let i = 1; i < parts.length; i++) open.add(parts.slice(0, i).join("/")); };
    if (chosen) { openTo(chosen); open.add(chosen); } else for (const place of plant.places) if (!place.path.includes("/")) open.add(place.path);
    const children = new Map(), label = new Map();
    const add = (path, name) => { label.set(path, name); const parent = path.split("/").slice(0, -1).join("/"); (children.get(parent) || children.set(parent, []).get(parent)).push(path); };
    for (const place of plant.places) add(place.path, named(place) || place.path.split("/").pop());
    for (const unit of plant.units) add(unit.path, named(unit) || unit.path.split("/").pop());
    for (const point of plant.points) { const p = point.path.split("/"); for (let i = 1; i < p.length; i++) { const up = p.slice(0, i).join("/"); if (!label.has(up)) add(up, p[i - 1]); } add(point.path, short(point)); }
    const unitPoints = (path) => plant.points.filter((p) => p.path === path || p.path.startsWith(path + "/"));
    put(node, `<section class="panel keep" style="width:${innerWidth < 1500 ? 270 : 330}px"><header><h2>${esc(T("plant.tree"))}</h2></header><div style="padding:7px 10px;border-bottom:1px solid var(--soft)"><input class="in" id="pl-filter" style="width:100%" placeholder="${esc(T("plant.filter"))}"></div><div class="tree" id="pl-tree" role="tree" tabindex="0"></div></section><section class="panel grow an-live"><header><h2 id="pl-title"></h2><span class="sub" id="pl-sub"></span></header><div class="body" style="overflow:auto" id="pl-list"></div></section><section class="panel keep an-live" style="width:${innerWidth < 1500 ? 390 : 500}px"><header><h2>${esc(T("plant.detail"))}</h2><span class="tools" id="pl-tools"></span></header><div class="body pad" id="pl-detail"></div></section>`);
    const treeNode = $("#pl-tree", node);
    let summary = new Map(), visible = [];
    function summarise() { summary = new Map(); for (const row of A.sorted()) { const parts = row.path.split("/"); for (let i = 1; i <= parts.length; i++) { const key = parts.slice(0, i).join("/"), s = summary.get(key) || { n: 0, worst: 9, active: false }; s.n++; if (row.active && !s.active) { s.active = true; s.worst = row.priority; } else if (row.active === s.active) s.worst = Math.min(s.worst, row.priority); summary.set(key, s); } } }
    function drawTree() {
      visible = [];
      const found = filter ? new Set() : null;
      if (found) for (const p of findPoints(filter, 300)) { const parts = p.path.split("/"); for (let i = 1; i <= parts.length; i++) found.add(parts.slice(0, i).join("/")); }
      const html = [];
      const walk = (parent, depth) => { for (const path of children.get(parent) || []) {
        if (found && !found.has(path)) continue;
        const kids = children.has(path), isOpen = found ? true : open.has(path), s = summary.get(path), point = plant.byPath.get(path);
        visible.push(path);
        html.push(`<div class="n ${path === chosen ? "on" : ""}" role="treeitem" aria-expanded="${kids ? isOpen : ""}" data-path="${esc(path)}" style="padding-left:${8 + depth * 15}px"><span class="tw">${kids ? (isOpen ? "▾" : "▸") : ""}</span><span class="clip">${esc(label.get(path))}</span>` + (point ? `<span class="low clip" style="font-size:11px">${esc(point.tag)}</span>` : "") + (s ? `<span class="cnt">${shape(s.worst, 12, !s.active)}${point ? "" : s.n}</span>` : "") + `</div>`);
        if (kids && isOpen) walk(path, depth + 1);
      } };
      walk("", 0);
      put(treeNode, html.join("") || `<div class="empty"><b>${esc(T("search.nothing"))}</b></div>`);
    }
    let listed = [], chart = null, point = null;
    function drawList() {
      point = plant.byPath.get(chosen) || null;
      const scope = point ? chosen.split("/").slice(0, -1).join("/") : chosen;
      listed = (scope ? unitPoints(scope) : []).slice(0, 400);
      const unit = plant.unitByPath.get(scope);
      put($("#pl-title", node), esc(scope ? label.get(scope) || scope : T("plant.choose")));
      put($("#pl-sub", node), esc(scope ? scope + (unit && unit.substance ? ` · ${unit.substance}${unit.inventory ? ` ${unit.inventory} ${unit.inventory_unit}` : ""}` : "") : ""));
      if (!listed.length) { put($("#pl-list", node), `<div class="empty"><b>${esc(T(scope ? "plant.no_points" : "plant.choose"))}</b><span>${esc(T(scope ? "plant.no_points_hint" : "plant.choose_hint"))}</span></div>`); return; }
      put($("#pl-list", node), `<table class="plain"><thead><tr><th></th><th>${esc(T("col.point"))}</th><th>${esc(T("col.tag"))}</th><th class="r">${esc(T("col.value"))}</th><th>${esc(T("col.eu"))}</th><th>${esc(T("col.quality"))}</th><th class="r">${esc(T("col.age"))}</th></tr></thead><tbody>` + listed.map((p) => `<tr data-path="${esc(p.path)}" tabindex="0" style="cursor:pointer" ${p.path === chosen ? 'class="on"' : ""}><td style="width:24px" data-s></td><td>${esc(short(p))}${p.safety ? ` <span class="pill dim">${esc(T("plant.safety"))}</span>` : ""}</td><td class="low">${esc(p.tag)}</td><td class="r hi" data-v>–</td><td class="low">${esc(p.unit)}</td><td class="low" data-q></td><td class="r low" data-a></td></tr>`).join("") + "</tbody></table>");
      fillList();
    }
    function fillList() {
      const now = A.now();
      for (const tr of $$("#pl-list tr[data-path]", node)) {
        const p = plant.byPath.get(tr.dataset.path), value = valueOf(p.number), worst = summary.get(p.path);
        put($("[data-s]", tr), worst ? shape(worst.worst, 13, !worst.active) : "");
        const cell = $("[data-v]", tr); put(cell, pointValue(p, value)); cls(cell, "hatched", value && badClass(value.q));
        put($("[data-q]", tr), esc(value ? (value.q ? A.qualityText(value.q) : T("quality.good")) : T("quality.none")));
        put($("[data-a]", tr), value && value.t ? A.span(now - value.t) : "");
        cls(tr, "on", p.path === chosen);
      }
    }
    async function drawDetail() {
      const box = $("#pl-detail", node), tools = $("#pl-tools", node);
      chart = null;
      if (!point) { put(tools, ""); put(box, `<div class="empty"><b>${esc(T("plant.no_point"))}</b><span>${esc(T("plant.no_point_hint"))}</span></div>`); return; }
      const p = point, definitions = plant.alarms.filter((a) => a.point === p.number), c = p.calibration;
      let pins = []; try { pins = JSON.parse(localStorage.getItem("anlan.pins") || "[]"); } catch { /* a broken store only loses the pins */ }
      const pinned = pins.includes(p.number);
      put(tools, `<button class="mini ${pinned ? "on" : ""}" id="pl-pin">${esc(T(pinned ? "plant.unpin" : "plant.pin"))}</button><a class="mini" style="text-decoration:none" href="/trends?points=${p.number}">${esc(T("nav.trends"))}</a>`);
      put(box, `<div class="rows" style="gap:12px"><div><div class="hi" style="font-size:15px;font-weight:600">${esc(short(p))} <span class="low" style="font-weight:400">${esc(p.tag)}</span></div><div class="low">${esc(p.path)}</div><div class="point-big"><span id="pl-big">–</span><small>${esc(p.unit)}</small></div><div class="bar" id="pl-state"></div></div><a class="spark" id="pl-spark" style="height:190px;flex:none;padding:0;border:0"></a>` +
        `<dl class="kv wide left"><dt>${esc(T("col.quality"))}</dt><dd id="pl-quality"></dd><dt>${esc(T("plant.source_time"))}</dt><dd class="num" id="pl-time"></dd><dt>${esc(T("plant.kind"))}</dt><dd>${esc(T(`pointkind.${p.kind}`) === `pointkind.${p.kind}` ? p.kind : T(`pointkind.${p.kind}`))}</dd><dt>${esc(T("plant.range"))}</dt><dd class="num">${p.low == null && p.high == null ? "–" : `${p.low ?? "–"} … ${p.high ?? "–"} ${esc(p.unit)}`}</dd><dt>${esc(T("plant.stale_after"))}</dt><dd class="num">${p.stale_after ? A.span(p.stale_after) : "–"}</dd><dt>${esc(T("plant.connector"))}</dt><dd>${p.connector ? `<a href="/connectors?id=${encodeURIComponent(p.connector)}">${esc(p.connector)}</a> <span class="low num">${esc(p.source || "")}</span>` : esc(T("plant.no_connector"))}</dd><dt>${esc(T("plant.calibration"))}</dt><dd class="num">${c ? `× ${c.gain ?? 1} ${(c.offset ?? 0) >= 0 ? "+" : "−"} ${Math.abs(c.offset ?? 0)}${c.expires ? `<br><span class="${c.expires < A.now() ? "pill bad" : "low"}">${esc(T(c.expires < A.now() ? "plant.expired" : "plant.valid_until"))} ${A.day(c.expires)}</span>` : ""}${c.certificate ? `<br><span class="low">${esc(c.certificate)}</span>` : ""}` : esc(T("plant.no_calibration"))}</dd></dl>` +
        `<div><div class="bar"><b class="hi">${esc(T("plant.definitions"))}</b><span class="low">${definitions.length}</span></div>${definitions.length ? `<table class="plain"><thead><tr><th>${esc(T("col.priority"))}</th><th>${esc(T("col.kind"))}</th><th class="r">${esc(T("col.limit"))}</th><th class="r">${esc(T("plant.delays"))}</th><th></th></tr></thead>${definitions.map((a) => `<tr><td><span class="bar nowrap">${shape(a.priority, 13)}${esc(A.prio(a.priority))}</span></td><td title="${esc(a.id)}">${esc(T(`kind.${a.kind}`))}${a.latched ? ` <span class="low">${esc(T("plant.latched"))}</span>` : ""}${a.enabled === false ? ` <span class="pill dim">${esc(T("plant.disabled"))}</span>` : ""}</td><td class="r">${a.limit == null ? "" : fmt(a.limit)}</td><td class="r low nowrap">${A.span(a.on_delay || 0)} / ${A.span(a.off_delay || 0)}</td><td class="r"><button class="mini" data-propose="${esc(a.id)}" ${boot.may.propose ? "" : `disabled title="${esc(T("may.not_propose"))}"`}>${esc(T("act.propose"))}</button></td></tr>`).join("")}</table>` : `<div class="low" style="padding:6px 0">${esc(T("plant.no_definitions"))}</div>`}</div><div id="pl-alarms"></div></div>`);
      chart = await A.spark($("#pl-spark", node), p.number, 60);
    }
    function fillDetail() {
      if (!point) return;
      const value = valueOf(point.number), now = A.now(), worst = A.worstOf(point.number), big = $("#pl-big", node);
      if (!big) return;
      put(big, pointValue(point, value)); cls(big, "hatched", value && badClass(value.q));
      put($("#pl-state", node), (worst ? `<span class="pill bad">${shape(worst, 12)}${esc(T("plant.in_alarm"))}</span>` : `<span class="pill dim">${esc(T("plant.no_alarm"))}</span>`) + (point.safety ? `<span class="pill">${esc(T("plant.safety"))}</span>` : ""));
      put($("#pl-quality", node), value && badClass(value.q) ? `<span class="pill warn">${esc(A.qualityText(value.q))}</span>` : esc(value ? A.qualityText(value.q) : T("quality.none")));
      put($("#pl-time", node), value && value.t ? `${A.day(value.t)} ${A.time(value.t)} <span class="low">${esc(T("plant.age"))} ${A.span(now - value.t)}</span>` : "–");
      const rows = A.sorted(true).filter((r) => r.point === point.number);
      put($("#pl-alarms", node), `<b class="hi">${esc(T("plant.related"))}</b>` + (rows.length ? rows.map((r) => `<div class="bar" style="padding:5px 0;border-bottom:1px solid var(--soft)">${shape(r.priority, 14, !r.active)}<a href="/alarms?alarm=${encodeURIComponent(r.alarm)}">${esc(T(`kind.${r.kind}`))}</a><span class="low">${esc(A.stateText(r))}</span><span class="low num grow">${A.moment(r.raised)}</span>${A.ackButton(r).replace("btn main", "mini")}</div>`).join("") : `<div class="low" style="padding:4px 0">${esc(T("plant.no_related"))}</div>`));
    }
    function choose(path) { chosen = path; if (!plant.byPath.has(path)) open.has(path) ? open.delete(path) : open.add(path); history.replaceState(null, "", `?${plant.byPath.has(path) ? "point" : "unit"}=${encodeURIComponent(path)}`); drawTree(); drawList(); drawDetail().then(fillDetail); A.want(); }
    node.addEventListener("click", (event) => {
      const propose = event.target.closest("[data-propose]");
      if (propose && !propose.disabled) { A.send("an_propose", { alarm: propose.dataset.propose }); return; }
      if (event.target.id === "pl-pin") { let pins = []; try { pins = JSON.parse(localStorage.getItem("anlan.pins") || "[]"); } catch { /* see above */ } pins = pins.includes(point.number) ? pins.filter((n) => n !== point.number) : [point.number, ...pins].slice(0, 4); localStorage.setItem("anlan.pins", JSON.stringify(pins)); drawDetail().then(fillDetail); return; }
      const row = event.target.closest("[data-path]");
      if (row && !event.target.closest("a,button")) choose(row.dataset.path);
    });
    node.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.dataset?.path) choose(event.target.dataset.path); });
    treeNode.addEventListener("keydown", (event) => {
      const i = visible.indexOf(chosen), k = event.key;
      if (k === "ArrowDown" || k === "ArrowUp") { const next = visible[Math.max(0, Math.min(visible.length - 1, i + (k === "ArrowDown" ? 1 : -1)))]; if (next) { chosen = next; drawTree(); drawList(); drawDetail().then(fillDetail); A.want(); $(".n.on", treeNode)?.scrollIntoView({ block: "nearest" }); } }
      else if (k === "ArrowRight") { open.add(chosen); drawTree(); } else if (k === "ArrowLeft") { if (open.has(chosen)) open.delete(chosen); else chosen = chosen.split("/").slice(0, -1).join("/") || chosen; drawTree(); } else if (k === "Enter") choose(chosen);
      else return;
      event.preventDefault();
    });
    $("#pl-filter", node).addEventListener("input", (event) => { filter = event.target.value.trim(); drawTree(); });
    summarise(); drawTree(); drawList(); await drawDetail(); fillDetail();
    $(".n.on", treeNode)?.scrollIntoView({ block: "center" });
    A.register({ node, want: () => [...listed.map((p) => p.number), ...(point ? [point.number] : [])], frame(frame) { if (!frame || frame.full || frame.up?.length || frame.gone?.length) { summarise(); drawTree(); } fillList(); fillDetail(); } });
    node.dataset.ready = "1";
  }

  /* ---- alarm page: guidance card and keys ---------------------------------------------------------------------- */
  function guide(node) {
    let row = null, details = null, serial = 0;
    async function choose(next) {
      row = next; details = null; draw(); A.want();
      const mine = ++serial;
      try { const answer = await get(`/console/alarm?id=${encodeURIComponent(next.alarm)}`); if (mine === serial) details = answer; } catch (error) { if (mine === serial) details = { error: error.message, history: [] }; }
      draw();
    }
    A.select = (next) => { if (next && next.alarm) choose(next); };
    A.guide = (data) => { if (data.alarm) choose(A.alarms.get(data.alarm) || { ...data, acknowledged: true }); };
    const may = (verb, key) => (boot.may[key] ? "" : `disabled title="${esc(T(`may.not_${key}`))}"`);
    function draw() {
      if (!row) { put(node, `<div class="empty"><b>${esc(T("guide.none"))}</b><span>${esc(T("guide.none_hint"))}</span></div>`); return; }
      row = A.alarms.get(row.alarm) || row;
      const d = A.plant?.alarmById.get(row.alarm) || {}, p = pointOf(row.point), value = valueOf(row.point), now = A.now();
      const total = d.time_to_act || 0, left = total && row.active ? row.raised + total - now : null;
      const text = (key, body) => `<section><h4>${esc(T(key))}</h4><p>${esc(body || T("guide.not_stated"))}</p></section>`;
      put(node, `<div><h3>${shape(row.priority, 17, !row.active)} ${esc(A.rowTitle(row, " · "))}</h3><div class="low">${esc(p?.tag || "")} · <a href="${row.path.startsWith("connectors/") ? "/connectors?id=" + encodeURIComponent(row.path.slice(11)) : "/plant?point=" + encodeURIComponent(row.path)}">${esc(row.path)}</a></div></div>` +
        `<div class="bar"><span class="pill ${row.active ? "bad" : ""}">${esc(A.stateText(row))}</span>${row.safety ? `<span class="pill">${esc(T("plant.safety"))}</span>` : ""}${row.shelved ? `<span class="pill warn">${esc(T("state.shelved"))} ${row.shelved_until ? A.moment(row.shelved_until) : ""}</span>` : ""}${row.suppressed ? `<span class="pill warn">${esc(T("state.suppressed"))}</span>` : ""}${row.out_of_service ? `<span class="pill warn">${esc(T("state.out_of_service"))}</span>` : ""}</div>` +
        `<div class="bar" style="gap:16px;align-items:flex-end"><div class="point-big" style="font-size:34px;line-height:38px">${pointValue(p, value || { v: row.value })}<small>${esc(row.unit || p?.unit || "")}</small></div>${row.limit != null ? `<div class="low">${esc(T("col.limit"))} <span class="num hi">${esc(A.limitOf(row))}</span></div>` : ""}</div>` +
        (left !== null ? `<div class="timer ${left < 0 ? "over" : left < total / 3 ? "soon" : ""}"><span>${esc(T(left < 0 ? "guide.over" : "guide.left"))}</span><b>${A.span(Math.abs(left))}</b><span class="low">/ ${A.span(total)}</span></div>` : "") +
        `<div class="bar">${A.ackButton(row).replace("</button>", ' <kbd>A</kbd></button>')}<button class="btn" data-v="shelve" ${may("shelve", "shelve")}>${esc(T("act.shelve"))} <kbd>S</kbd></button>${row.latched ? `<button class="btn" data-v="reset" ${may("reset", "reset")}>${esc(T("act.reset"))}</button>` : ""}${row.shelved ? `<button class="btn" data-v="unshelve" ${may("unshelve", "shelve")}>${esc(T("act.unshelve"))}</button>` : ""}<button class="btn" data-v="${row.suppressed ? "unsuppress" : "suppress"}" ${may("suppress", "suppress")}>${esc(T(row.suppressed ? "act.unsuppress" : "act.suppress"))}</button><button class="btn" data-v="${row.out_of_service ? "return-to-service" : "remove-from-service"}" ${may("oos", "out_of_service")}>${esc(T(row.out_of_service ? "act.return" : "act.remove"))}</button></div>` +
        text("guide.cause", d.cause) + text("guide.consequence", d.consequence) + text("guide.action", d.action) +
        `<dl class="kv left"><dt>${esc(T("col.raised"))}</dt><dd class="num">${A.day(row.raised || now)} ${A.time(row.raised)}</dd>${row.who ? `<dt>${esc(T("guide.by"))}</dt><dd>${esc(row.who)}${row.comment ? ` “${esc(row.comment)}”` : ""}</dd>` : ""}<dt>${esc(T("guide.delays"))}</dt><dd class="num">${A.span(d.on_delay || 0)} / ${A.span(d.off_delay || 0)}${d.deadband ? ` · ±${d.deadband}` : ""}</dd>${d.operator_position ? `<dt>${esc(T("guide.position"))}</dt><dd>${esc(d.operator_position)}</dd>` : ""}${d.source ? `<dt>${esc(T("guide.source"))}</dt><dd>${esc(d.source)}</dd>` : ""}</dl>` +
        `<section><h4>${esc(T("guide.history"))} <a href="/trends?points=${row.point}">${esc(T("nav.trends"))}</a></h4>${details === null ? `<span class="low">${esc(T("trends.loading"))}</span>` : details.error ? `<span class="pill warn">${esc(details.error)}</span>` : details.history.length ? `<ul class="hist">${details.history.map((h) => `<li><time>${A.moment(h.t)}</time><span>${esc(T(`arrow.${h.arrow}`))}${h.value != null ? ` <span class="num low">${fmt(h.value)}</span>` : ""}${h.who ? ` · ${esc(h.who)}` : ""}${h.comment ? ` “${esc(h.comment)}”` : ""}</span></li>`).join("")}</ul>` : `<span class="low">${esc(T("guide.no_history"))}</span>`}</section>`);
    }
    node.addEventListener("click", (event) => { const b = event.target.closest("[data-v]"); if (b && !b.disabled) A.act(b.dataset.v, [row]); });
    A.register({ node, want: () => (row ? [row.point] : []), frame(frame) { const changed = frame?.up?.some((r) => r.alarm === row?.alarm) || frame?.gone?.includes(row?.alarm); if (changed && row) choose(A.alarms.get(row.alarm) || { ...row, active: false, acknowledged: true, state: "normal" }); else draw(); } });
    draw();
  }
  function alarmTools(node) {
    const grid = () => $('[data-an="alarms"][data-mode="page"]');
    let chosen = [];
    const targets = () => { const api = grid()?._grid; if (!api) return []; const rows = api.getSelectedRows(); if (rows.length) return rows.map((r) => A.alarms.get(r.alarm) || r); const cell = api.getFocusedCell(), at = cell && api.getDisplayedRowAtIndex(cell.rowIndex); return at ? [at.data] : []; };
    const may = (key) => (boot.may[key] ? "" : `disabled title="${esc(T(`may.not_${key}`))}"`);
    put(node, `<input class="in" id="al-filter" style="width:${innerWidth < 1500 ? 150 : 210}px" placeholder="${esc(T("alarms.filter"))}"><span class="bar" style="gap:4px" role="group" aria-label="${esc(T("col.priority"))}">${[1, 2, 3, 4].map((p) => `<button class="mini on" data-p="${p}" aria-pressed="true" title="${esc(A.prio(p))}">${shape(p, 12)}</button>`).join("")}</span><button class="mini" data-unacked>${esc(T("alarms.only_unacked"))}</button><span class="grow"></span><span class="low" id="al-chosen"></span><button class="btn main" data-all="acknowledge" ${may("acknowledge")}>${esc(T("act.acknowledge"))} <kbd>A</kbd></button><button class="btn" data-all="shelve" ${may("shelve")}>${esc(T("act.shelve"))} <kbd>S</kbd></button><button class="btn" data-all="reset" ${may("reset")}>${esc(T("act.reset"))}</button>${innerWidth < 1500 ? "" : `<button class="btn" id="al-sound">${esc(T("sound.test"))}</button>`}<a class="btn" href="/console/alarms.csv" download>CSV</a>`);
    A.selection = (rows) => { chosen = rows; put($("#al-chosen", node), rows.length ? esc(T("alarms.chosen", { n: rows.length })) : ""); };
    const run = (verb) => { const rows = targets().filter((r) => verb !== "acknowledge" || !r.acknowledged); if (rows.length) A.act(verb, rows); else put($("#al-chosen", node), esc(T(verb === "acknowledge" && targets().length ? "alarms.already" : "alarms.choose_first"))); };
    node.addEventListener("click", (event) => {
      const b = event.target.closest("button"); if (!b || b.disabled) return;
      if (b.dataset.all) run(b.dataset.all);
      else if (b.dataset.p) { const g = grid(); g._priorities ||= new Set([1, 2, 3, 4]); const p = +b.dataset.p; g._priorities.has(p) ? g._priorities.delete(p) : g._priorities.add(p); cls(b, "on", g._priorities.has(p)); b.setAttribute("aria-pressed", g._priorities.has(p)); g._refresh(); }
      else if ("unacked" in b.dataset) { const g = grid(); g._unacked = !g._unacked; cls(b, "on", g._unacked); g._refresh(); }
      else if (b.id === "al-sound") A.sound.test();
    });
    $("#al-filter", node).addEventListener("input", (event) => grid()?._filter(event.target.value));
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable || $(".q-dialog")) return;
      const key = event.key.toLowerCase();
      if (key === "a" && boot.may.acknowledge) run("acknowledge"); else if (key === "s" && boot.may.shelve) run("shelve"); else if (key === "/") $("#al-filter", node).focus(); else return;
      event.preventDefault();
    });
  }
  function tabCounts(node) {
    A.register({ node, frame() { if (A.counts) for (const b of $$("[data-tab]", node)) { const n = { standing: A.counts.standing, shelved: A.counts.shelved, suppressed: A.counts.suppressed, "out-of-service": A.counts.out_of_service }[b.dataset.tab]; put($(".n", b), n === undefined || n === null ? "" : String(n)); } } });
  }

  /* ---- figures that any page may show: <span data-an="health"> ------------------------------------------------- */
  function health(node) {
    const age = (r) => (A.now() - r.time) / 1e6;
    A.register({ node, frame() { this.tick(); }, tick() {
      const list = Object.values(A.parts).sort((a, b) => a.process.localeCompare(b.process)), problems = A.problems || [];
      put($("#he-problems"), problems.length ? problems.map((p) => `<div>${shape(p.grave ? 1 : 2, 15)}<span>${esc(A.trouble(p))}</span></div>`).join("") : `<div class="ok">${esc(T("health.all_well"))}</div>`);
      put(node, `<table class="plain"><thead><tr><th>${esc(T("health.process"))}</th><th>${esc(T("col.state"))}</th><th class="r">PID</th><th class="r">${esc(T("health.up_for"))}</th><th class="r">${esc(T("health.heard"))}</th><th>${esc(T("health.counters"))}</th></tr></thead>` + list.map((r) => {
        const old = age(r) > 5, tone = old ? "bad" : !r.ready || r.problems?.length ? "warn" : "";
        return `<tr class="${old ? "hatched" : ""}"><td class="hi">${esc(T(`process.${r.process}`) === `process.${r.process}` ? r.process : T(`process.${r.process}`))} <span class="low">${esc(r.process)}</span></td><td><span class="pill ${tone}">${esc(T(old ? "health.silent" : !r.ready ? "health.starting" : r.problems?.length ? "health.troubled" : "health.running"))}</span></td><td class="r">${r.pid}</td><td class="r">${A.span(A.now() - (r.started || r.time))}</td><td class="r">${age(r) < 1.5 ? "< 1.5 s" : A.span(age(r) * 1e6)}</td><td class="low">${Object.entries(r.counters || {}).slice(0, 8).map(([k, v]) => `${esc(T(`counter.${k}`) === `counter.${k}` ? k : T(`counter.${k}`))} <span class="num hi">${Number(v).toLocaleString("en-US", { maximumFractionDigits: 1 })}</span>`).join(" · ")}</td></tr>`;
      }).join(""));
    } });
  }

  /* ---- search: Ctrl-K ------------------------------------------------------------------------------------------ */
  A.search = () => {
    const box = A.el("div", { class: "an-search", role: "dialog", "aria-label": T("search.title") }, `<div><input placeholder="${esc(T("search.hint"))}" aria-label="${esc(T("search.title"))}"><ul></ul></div>`);
    document.body.append(box);
    const input = $("input", box), list = $("ul", box);
    let items = [], at = 0;
    const fill = () => {
      const text = input.value.trim().toLowerCase();
      items = boot.pages.filter((p) => !text || `${p.title} ${p.path}`.toLowerCase().includes(text)).map((p) => ({ href: p.path, text: p.title, note: T("search.page") }));
      if (A.plant && text) {
        for (const u of A.plant.units) if (`${u.path} ${u.name || ""} ${u.name_en || ""}`.toLowerCase().includes(text) && items.length < 14) items.push({ href: `/plant?unit=${encodeURIComponent(u.path)}`, text: named(u) || u.path, note: u.path });
        for (const p of findPoints(text, 30)) items.push({ href: `/plant?point=${encodeURIComponent(p.path)}`, text: `${short(p)}  ${p.tag || ""}`, note: unitName(p.path) });
      }
      at = Math.min(at, Math.max(0, items.length - 1));
      put(list, items.map((i, k) => `<li class="${k === at ? "on" : ""}" data-k="${k}"><span>${esc(i.text)}</span><small>${esc(i.note)}</small></li>`).join("") || `<li class="low">${esc(T("search.nothing"))}</li>`);
    };
    const show = (on) => { cls(box, "on", on); if (on) { input.value = ""; at = 0; A.loadPlant().then(fill); fill(); input.focus(); } };
    addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); show(!box.classList.contains("on")); return; }
      if (!box.classList.contains("on")) return;
      if (event.key === "Escape") show(false);
      else if (event.key === "ArrowDown" || event.key === "ArrowUp") { at = Math.max(0, Math.min(items.length - 1, at + (event.key === "ArrowDown" ? 1 : -1))); fill(); $("li.on", list)?.scrollIntoView({ block: "nearest" }); event.preventDefault(); }
      else if (event.key === "Enter" && items[at]) location.href = items[at].href;
    });
    input.addEventListener("input", () => { at = 0; fill(); });
    box.addEventListener("click", (event) => { const li = event.target.closest("[data-k]"); if (li) location.href = items[+li.dataset.k].href; else if (event.target === box) show(false); });
    $("#an-search-button")?.addEventListener("click", () => show(true));
  };
  Object.assign(A.components, { trends, plant: plantTree, guide, alarmtools: alarmTools, tabcounts: tabCounts, health });
})();
