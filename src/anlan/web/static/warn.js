/* Early warning: list, card and detail of warnings, risk tree and explanation, the overview's strip, cones on trends. Part of
   anlan.js's shared frame. */
"use strict";
(() => {
  const A = window.anlan, { $, $$, T, esc, put, cls, get, send, fmt, shape, badClass, valueOf, pointValue, boot } = A;
  const W = (A.warn = { t: 0, silent: true, open: [0, 0, 0, 0], rev: -1, col: new Map(), pred: [], painted: 0 });
  let known;
  const heard = new Promise((resolve) => { known = resolve; });
  A.extra.warn = (part, full) => {
    known();
    if (full) W.col.clear();
    for (const [path, colour] of Object.entries(part.col || {})) colour ? W.col.set(path, colour) : W.col.delete(path);
    if (part.col || full) W.painted++;
    if (part.pred) W.pred = part.pred;
    Object.assign(W, { t: part.t, silent: part.silent, open: part.open, rev: part.rev });
  };
  const gradeName = (g) => T(`wgrade.${["red", "orange", "yellow", "blue"][g - 1]}`);
  const predicted = (target) => (target ? W.pred.find((p) => p.alarm === target) : undefined);
  const until = (lead) => predicted(lead.target)?.expected || lead.until || 0;
  const leadText = (lead) => { const at = lead && lead.on && until(lead); if (!at) return "–"; const left = at - A.now(); return left > 0 ? A.span(left) : T("warn.due"); };
  const leadCell = (lead) => (lead ? `<span class="num lead" data-until="${esc(JSON.stringify(lead))}">${esc(leadText(lead))}</span>` : "–");
  A.FORMATS.grade = (v) => (!v || v.none ? '<span class="low">–</span>' : `<span class="pri"><span class="${v.blink ? "blink" : ""}">${shape(v.g, 15, v.hollow)}</span>${esc(gradeName(v.g))}</span>`);
  A.FORMATS.lead = leadCell;
  A.register({ tick() { for (const node of $$("[data-until]")) { const lead = JSON.parse(node.dataset.until), text = leadText(lead), left = until(lead) - A.now(); if (node.textContent !== text) node.textContent = text; cls(node, "soon", lead.on && left > 0 && left < 300e6); } } });
  const percent = (share) => `${Math.round(100 * share)} %`;
  const bar = (share, title) => `<i class="sb" title="${esc(title || percent(share))}"><b style="width:${Math.max(1, 100 * share).toFixed(1)}%"></b></i>`;
  const number = (v, unit) => (v === null || v === undefined ? "–" : `${fmt(v)}${unit ? ` <small class="low">${esc(unit)}</small>` : ""}`);
  const KEYS = { answer: "A", confirm: "C", dismiss: "D", close: "X" };
  const buttons = (row) => Object.entries(row.verbs).map(([verb, off]) => `<button class="btn ${verb === "answer" || (verb === "confirm" && !("answer" in row.verbs)) ? "main" : ""}" data-wv="${verb}" ${off ? `disabled title="${esc(off)}"` : ""}>${esc(T(`wverb.${verb}`))} <kbd>${KEYS[verb]}</kbd></button>`).join("");
  const act = (row, verb) => { if (row && verb in row.verbs && !row.verbs[verb]) send("an_warn_act", { id: row.id, verb }); };
  const typing = (event) => event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable || $(".q-dialog") || $(".an-search.on");
  const contributionName = (c) => (c.number ? `<a href="/trends?points=${c.number}">${esc(c.label)}</a>` : c.feature ? `<a href="/features?id=${encodeURIComponent(c.feature)}">${esc(c.label)}</a>` : esc(c.label));
  const contributions = (list) => list.map((c) => `<div class="cb"><span class="clip" title="${esc(c.name)}">${contributionName(c)} <small class="low">${esc(c.number ? c.sub : "")}</small></span>${bar(c.share)}<span class="num">${percent(c.share)}</span></div>`).join("");
  const people = (row) => (row.need || row.who.length ? `${esc(row.who.join(", ") || T("warn.nobody"))}${row.need ? ` <span class="low">(${row.who.length}/${row.need})</span>` : ""}` : esc(T("warn.nobody_needed")));
  const countdown = (row) => (row.next && !row.over ? `<span class="num" data-down="${row.next}">${A.span(Math.max(0, row.next - A.now()))}</span>` : "");
  A.register({ tick() { for (const node of $$("[data-down]")) { const text = A.span(Math.max(0, +node.dataset.down - A.now())); if (node.textContent !== text) node.textContent = text; } } });

  /* ---- list: filter, keys, card -------------------------------------------------------------------------------- */
  const gridNode = () => $('[data-key="warnings"]');
  let shownRow = null;
  function tools(node) {
    let all = null, text = "", grades = new Set([1, 2, 3, 4]), seen = W.rev;
    put(node, `<input class="in" id="wa-filter" style="width:${innerWidth < 1500 ? 170 : 230}px" placeholder="${esc(T("warn.filter"))}"><span class="bar" style="gap:4px" role="group" aria-label="${esc(T("warn.grade"))}">${[1, 2, 3, 4].map((g) => `<button class="mini on" data-g="${g}" aria-pressed="true" title="${esc(gradeName(g))}">${shape(g, 12)} <span class="num" data-n="${g}"></span></button>`).join("")}</span><span id="wa-silent"></span><span class="grow"></span><span class="low" id="wa-count"></span><span class="low keys">${[["J K", "warn.key_move"], ["↵", "warn.key_open"]].map(([k, t]) => `<kbd>${k}</kbd> ${esc(T(t))}`).join(" ")}</span>`);
    const match = (row) => grades.has(row.grade.g) && (!text || `${row.place} ${row.path} ${row.text} ${row.model.text} ${row.state.text}`.toLowerCase().includes(text));
    const apply = () => {
      const grid = gridNode();
      if (!grid?._grid || !all) return;
      const rows = all.filter(match);
      grid._grid.setGridOption("rowData", rows);
      put($("#wa-count", node), esc(T("warn.count", { n: rows.length, all: all.length })));
      for (let g = 1; g <= 4; g++) put($(`[data-n="${g}"]`, node), String(all.filter((r) => r.grade.g === g).length));
      grid.dataset.order = rows.map((r) => r.id).join("|");
      const again = rows.find((r) => r.id === shownRow?.id) || (shownRow ? all.find((r) => r.id === shownRow.id) : rows[0]);
      choose(again || rows[0] || null, !shownRow);
    };
    const choose = (row, select) => { shownRow = row; drawCard(); if (row && select) { const found = gridNode()._grid.getRowNode(row.id); found?.setSelected(true); } };
    const wait = () => {
      const grid = gridNode();
      if (!grid?._grid) { setTimeout(wait, 40); return; }
      all = grid._setup.rows;
      grid._rows = (rows) => { all = rows; apply(); };
      grid._grid.addEventListener("selectionChanged", () => { const row = grid._grid.getSelectedRows()[0]; if (row) choose(row); });
      apply();
    };
    wait();
    node.addEventListener("click", (event) => { const b = event.target.closest("[data-g]"); if (!b) return; const g = +b.dataset.g; grades.has(g) ? grades.delete(g) : grades.add(g); cls(b, "on", grades.has(g)); b.setAttribute("aria-pressed", grades.has(g)); apply(); });
    $("#wa-filter", node).addEventListener("input", (event) => { text = event.target.value.trim().toLowerCase(); apply(); });
    document.addEventListener("keydown", (event) => {
      if (typing(event)) return;
      const api = gridNode()?._grid, key = event.key.toLowerCase();
      if (!api) return;
      const step = { j: 1, k: -1, arrowdown: 1, arrowup: -1 }[key], verb = Object.keys(KEYS).find((v) => KEYS[v].toLowerCase() === key);
      if (step && !(event.target.closest?.(".ag-root") && key.startsWith("arrow"))) {
        const at = shownRow ? api.getRowNode(shownRow.id)?.rowIndex ?? -1 : -1, next = api.getDisplayedRowAtIndex(Math.max(0, Math.min(api.getDisplayedRowCount() - 1, at + step)));
        if (next) { choose(next.data); next.setSelected(true); api.ensureNodeVisible(next); } // at once: the grid tells of selections late
      } else if (key === "enter" && shownRow) location.href = `/warnings/${encodeURIComponent(shownRow.id)}`;
      else if (verb && shownRow) act(shownRow, verb);
      else if (key === "/") $("#wa-filter", node).focus();
      else return;
      event.preventDefault();
    });
    A.register({ node, frame() {
      put($("#wa-silent", node), W.silent && A.last?.x ? `<span class="pill warn">${esc(T("warn.silent"))}</span>` : "");
      if (W.rev !== seen) { seen = W.rev; send("an_warnings", null); }
    } });
  }
  let cardNode = null;
  function card(node) {
    cardNode = node;
    node.addEventListener("click", (event) => { const b = event.target.closest("[data-wv]"); if (b && !b.disabled) act(shownRow, b.dataset.wv); });
    drawCard();
  }
  function drawCard() {
    if (!cardNode) return;
    const row = shownRow;
    if (!row) { put(cardNode, `<div class="empty"><b>${esc(T("warn.none_chosen"))}</b><span>${esc(T("warn.none_chosen_hint"))}</span></div>`); return; }
    put(cardNode, `<div><h3>${shape(row.grade.g, 17, row.grade.hollow)} ${esc(row.place)}</h3><div class="low clip" title="${esc(row.path)}">${esc(row.path)}</div></div>` +
      `<div class="bar"><span class="pill">${esc(gradeName(row.grade.g))}</span><span class="pill ${esc(row.state.tone)}">${esc(row.state.text)}</span>${row.active ? "" : `<span class="pill dim">${esc(T("warn.over"))}</span>`}${row.shadow ? `<span class="pill dim">${esc(T("models.shadow"))}</span>` : ""}${row.outcome ? `<span class="pill ${esc(row.outcome.tone)}">${esc(row.outcome.text)}</span>` : ""}</div>` +
      `<p class="hi" style="margin:0;font-size:14px">${esc(row.text)}</p>` +
      (row.lead && until(row.lead) ? `<div class="timer"><span>${esc(T("warn.lead"))}</span><b>${leadCell(row.lead)}</b><span class="low">${esc(row.target || T("warn.horizon", { span: A.span(row.horizon) }))}</span></div>` : "") +
      `<div class="bar">${buttons(row)}<a class="btn" href="/warnings/${encodeURIComponent(row.id)}">${esc(T("warn.open_detail"))} <kbd>↵</kbd></a></div>` +
      (row.contributions.length ? `<section><h4>${esc(T("warn.contributions"))}</h4>${contributions(row.contributions.slice(0, 6))}</section>` : "") +
      `<section><h4>${esc(T("warn.action"))}</h4><p>${esc(row.action || T("warn.no_action"))}</p></section>` +
      `<dl class="kv left"><dt>${esc(T("warn.raised"))}</dt><dd class="num">${A.day(row.raised)} ${A.time(row.raised)}</dd><dt>${esc(T("warn.model"))}</dt><dd><a href="${esc(row.model.href)}">${esc(row.models.join(", ") || row.model.text)}</a></dd>${row.p !== null && row.p !== undefined ? `<dt>${esc(T("warn.chance"))}</dt><dd class="num">${row.p.toExponential(1)}</dd>` : ""}<dt>${esc(T("warn.horizon_label"))}</dt><dd class="num">${A.span(row.horizon)}</dd><dt>${esc(T("warn.answered"))}</dt><dd>${people(row)}</dd>${row.next && !row.over ? `<dt>${esc(T("warn.next_step"))}</dt><dd>${countdown(row)}</dd>` : ""}${row.last.comment ? `<dt>${esc(row.last.who)}</dt><dd>“${esc(row.last.comment)}”</dd>` : ""}</dl>`);
  }

  /* ---- detail: evidence over time with contributions beside it --------------------------------------------------- */
  let newer = null;
  W.detail = (data) => newer?.(data);
  async function detail(node) {
    let data = JSON.parse(node.dataset.setup), seen = W.rev;
    const echarts = await A.loadCharts();
    await A.loadPlant().catch(() => {});
    const side = innerWidth < 1500 ? 330 : 430;
    put(node, `<div class="rows"><section class="panel keep an-live"><div class="wd-head" id="wd-head"></div></section><section class="panel an-live" style="flex:2 1 0;min-height:220px"><header><h2>${esc(T("warn.evidence"))}</h2><span class="sub">${esc(T("warn.evidence_sub"))}</span><span class="tools"><a class="mini" id="wd-trend">${esc(T("nav.trends"))}</a></span></header><div class="body" style="position:relative"><div class="chart" id="wd-chart"></div><div id="wd-labels"></div></div></section><section class="panel an-live" style="flex:1 1 0;min-height:120px"><div class="cols" style="gap:0"><div class="wd-half" id="wd-why"></div><div class="wd-half" id="wd-said"></div></div></section></div>` +
      `<div class="rows" style="flex:0 0 ${side}px"><section class="panel keep" style="max-height:52%"><header><h2>${esc(T("warn.next"))}</h2></header><div class="body pad" id="wd-next"></div></section><section class="panel" style="flex:1 1 0"><header><h2>${esc(T("warn.similar"))}</h2></header><div class="body" style="overflow:auto" id="wd-similar"></div></section><section class="panel" style="flex:1.2 1 0"><header><h2>${esc(T("warn.history"))}</h2></header><div class="body pad" id="wd-history"></div></section></div>`);
    const chart = echarts.init($("#wd-chart", node)), colors = A.palette();
    const series = new Map();
    let cones = new Map(), ahead = 0;
    const live = () => !data.end;
    const window_ = () => { const end = data.end || A.now(); return [data.start, end]; };
    const rowHeight = () => { const n = Math.max(1, data.points.length), total = chart.getHeight() - 30 - 26 - 8 * n; return Math.max(34, total / n); };
    const LEFT = innerWidth < 1500 ? 196 : 236;

    function words() {
      const row = data.row;
      put($("#wd-head", node), `<div class="wd-title">${shape(row.grade.g, 24, row.grade.hollow)}<div class="grow"><div class="bar" style="gap:6px"><b class="hi" style="font-size:16px">${esc(row.place)}</b><span class="pill">${esc(gradeName(row.grade.g))}</span><span class="pill ${esc(row.state.tone)}">${esc(row.state.text)}</span>${row.active ? "" : `<span class="pill dim">${esc(T("warn.over"))}</span>`}${row.shadow ? `<span class="pill dim">${esc(T("models.shadow"))}</span>` : ""}${row.outcome ? `<span class="pill ${esc(row.outcome.tone)}">${esc(row.outcome.text)}</span>` : ""}</div><div class="hi" style="margin-top:3px">${esc(row.text)}</div></div>${row.lead && until(row.lead) ? `<div class="wd-lead"><small>${esc(T("warn.lead"))}</small><b>${leadCell(row.lead)}</b><small class="clip">${esc(row.target)}</small></div>` : ""}</div>` +
        `<div class="wd-facts"><span>${esc(T("warn.raised"))} <b class="num">${A.day(row.raised)} ${A.time(row.raised)}</b></span><span>${esc(T("warn.model"))} <a href="${esc(row.model.href)}">${esc(row.model.text)}</a> <small class="low">v${row.version}</small></span><span>${esc(T("warn.score"))} <b class="num">${fmt(row.score)}</b></span>${row.p !== null && row.p !== undefined ? `<span>${esc(T("warn.chance"))} <b class="num">${row.p.toExponential(1)}</b></span>` : ""}<span>${esc(T("warn.horizon_label"))} <b class="num">${A.span(row.horizon)}</b></span><span class="low">${esc(row.path)}</span></div>`);
      put($("#wd-why", node), `<h4>${esc(T("warn.why"))}</h4>` + (row.contributions.length ? `<table class="plain wd-t"><thead><tr><th>${esc(T("warn.contribution"))}</th><th>${esc(T("warn.share"))}</th><th class="r">${esc(T("warn.now_value"))}</th><th class="r">${esc(T("warn.expected"))}</th></tr></thead>${row.contributions.map((c) => `<tr><td>${contributionName(c)}${c.number ? ` <small class="low">${esc(c.sub)}</small>` : c.feature ? ` <small class="low">${esc(T("warn.feature"))}</small>` : ""}</td><td class="wd-share">${bar(c.share)}<span class="num">${percent(c.share)}</span></td><td class="r">${number(c.value, c.unit)}</td><td class="r">${number(c.expected, c.unit)}</td></tr>`).join("")}</table>` : `<div class="empty"><b>${esc(T("warn.no_contributions"))}</b></div>`));
      put($("#wd-said", node), `<h4>${esc(T("warn.said"))}</h4><div class="stack" style="gap:6px;padding:0 12px 8px">${data.findings.map((f) => `<div class="wd-f"><div class="bar" style="gap:6px;flex-wrap:nowrap">${f.grade ? shape(f.grade, 13) : ""}<a class="clip" href="/models?id=${encodeURIComponent(f.id)}">${esc(f.model)}</a><small class="low">v${f.version}</small><span class="grow"></span><small class="low num">${A.moment(f.time)}</small></div><div>${esc(f.text)}</div></div>`).join("") || `<div class="low">${esc(T("warn.nothing_said"))}</div>`}</div>`);
      const steps = (row.action || "").split(/\n|(?<=[。；;])\s*(?=\S)/).map((s) => s.trim()).filter(Boolean);
      put($("#wd-next", node), (Object.keys(row.verbs).length ? `<div class="bar" style="margin-bottom:10px">${buttons(row)}</div>` : "") +
        (steps.length ? `<h4 class="fe">${esc(T("warn.action"))}</h4><ol class="steps">${steps.map((s) => `<li>${esc(s)}</li>`).join("")}</ol>` : `<div class="low">${esc(T("warn.no_action"))}</div>`) +
        `<h4 class="fe" style="margin-top:10px">${esc(T("warn.escalation"))}</h4>` + (data.chain.length ? data.chain.map((s, i) => { const done = i < row.step, now = !row.over && i === row.step; return `<div class="wd-step ${done ? "done" : ""}"><span class="mk">${done ? "✓" : i + 1}</span><span class="grow">${esc(s.to.join(", "))}${s.need > 1 ? ` <small class="low">${esc(T("warn.need", { n: s.need }))}</small>` : ""}${s.channels.length ? `<small class="low"> · ${esc(s.channels.join(", "))}</small>` : ""}</span><small class="low">${done ? esc(T("warn.told")) : now && row.next ? `${esc(T("warn.in"))} ${countdown(row)}` : `+${A.span(s.after)}`}</small></div>`; }).join("") : `<div class="low">${esc(T("warn.no_chain"))}</div>`) +
        `<div style="margin-top:8px"><span class="low">${esc(T("warn.answered"))}</span> ${people(row)}</div>`);
      put($("#wd-similar", node), data.similar.length ? data.similar.map((s) => `<a class="wd-case" href="/warnings/${encodeURIComponent(s.id)}"><div class="bar" style="flex-wrap:nowrap;gap:8px"><span class="clip grow">${esc(s.place)}</span><span class="pill ${esc(s.outcome.tone)}">${esc(s.outcome.text)}</span></div><div class="bar" style="flex-wrap:nowrap;gap:8px"><small class="low num">${A.day(s.raised)} ${A.hm.format(s.raised / 1000)}</small>${bar(s.likeness, T("warn.likeness"))}<small class="num">${percent(s.likeness)}</small></div>${s.comment ? `<small class="low">“${esc(s.comment)}”</small>` : ""}</a>`).join("") : `<div class="empty"><b>${esc(T("warn.no_similar"))}</b><span>${esc(T("warn.no_similar_hint"))}</span></div>`);
      put($("#wd-history", node), `<ul class="hist">${[...data.steps].reverse().map((s) => `<li><time>${A.moment(s.t)}</time><span>${s.grade ? shape(s.grade, 11) : ""} ${esc(s.text)}${s.who ? ` · ${esc(s.who)}` : ""}${s.comment ? ` “${esc(s.comment)}”` : ""}</span></li>`).join("")}</ul>`);
      $("#wd-trend", node).href = `/trends?points=${data.points.map((p) => p.number).join(",")}`;
    }
    function bands(end) { // grades as they stood, over time
      const found = [];
      let from = 0, grade = 0, active = false;
      for (const s of data.steps) {
        const shut = ["close", "end"].includes(s.arrow), start = ["raise", "regrade", "resume"].includes(s.arrow);
        if (!shut && !start) continue;
        if (from) found.push([from, s.t, grade, active]);
        from = s.arrow === "close" ? 0 : s.t; grade = s.grade; active = !shut;
        if (s.arrow === "close") break;
      }
      if (from) found.push([from, end, grade, active]);
      return found;
    }
    function layout() {
      const [start, end] = window_(), each = rowHeight(), last = data.points.length - 1, max = (end + ahead) / 1000, row = data.row;
      const option = { animation: false, textStyle: { fontFamily: A.font }, grid: [{ left: LEFT, right: 16, top: 6, height: 18 }], xAxis: [{ type: "time", gridIndex: 0, min: start / 1000, max, show: false }], yAxis: [{ type: "value", gridIndex: 0, min: 0, max: 1, show: false }], series: [], axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: colors.accent, type: "solid" } }, tooltip: { trigger: "axis", confine: true, backgroundColor: colors.raised, borderColor: colors.line, textStyle: { color: colors.text, fontSize: 12 }, formatter: tip } };
      const spans = bands(end).map(([a, b, g, on]) => [{ xAxis: a / 1000, name: (b - a) / (max * 1000 - start) > 0.1 ? gradeName(g) : "", itemStyle: { color: on ? colors[`p${g}`] : "transparent", borderColor: colors[`p${g}`], borderWidth: on ? 0 : 1 }, label: { position: "insideLeft", distance: 5, color: on ? A.css(`p${g}-on`) : colors.low, fontSize: 11 } }, { xAxis: b / 1000 }]);
      const marks = data.steps.filter((s) => ["answer", "confirm", "dismiss", "escalate", "close"].includes(s.arrow)).map((s) => ({ value: [s.t / 1000, 0.5], name: s.text }));
      option.series.push({ id: "grades", type: "scatter", xAxisIndex: 0, yAxisIndex: 0, data: marks, symbol: "rect", symbolSize: [2, 18], itemStyle: { color: colors.high }, markArea: { silent: true, data: spans }, tooltip: { trigger: "item" } });
      data.points.forEach((p, i) => {
        const about = A.plant?.byNumber.get(p.number), limits = (A.plant?.alarms || []).filter((a) => a.point === p.number && a.limit != null && A.limitColor[a.kind]), at = series.get(p.number) || { t: [], v: [], q: [] };
        const values = at.v.filter((v, k) => v !== null && !badClass(at.q[k])), low = Math.min(...values), high = Math.max(...values), room = Math.max(1.6 * (high - low), 0.25 * Math.max(Math.abs(high), Math.abs(low))) || 1, near = (y) => values.length && y > low - room && y < high + room;
        const shown = limits.filter((a) => near(a.limit) || cones.get(p.number)?.alarms.some((x) => x.limit === a.limit));
        const lines = shown.map((a) => ({ yAxis: a.limit, lineStyle: { color: colors[A.limitColor[a.kind]], type: "dashed", width: 1 }, label: { show: true, formatter: `${a.kind} ${fmt(a.limit)}`, position: "insideStartTop", color: colors.low, fontSize: 10, distance: 2 } }));
        const expected = p.expected !== null && p.expected !== undefined && !limits.some((a) => a.limit === p.expected) && near(p.expected);
        if (expected) lines.push({ yAxis: p.expected, lineStyle: { color: colors.accent, type: "dotted", width: 1.4 }, label: { show: true, formatter: T("warn.expected"), position: "insideStartBottom", color: colors.accent, fontSize: 10 } });
        lines.push({ xAxis: row.raised / 1000, lineStyle: { color: colors[`p${row.worst || row.grade.g}`], width: 1.4, type: "solid" }, label: { show: false } });
        option.grid.push({ left: LEFT, right: 16, top: 32 + i * (each + 8), height: each });
        option.xAxis.push({ type: "time", gridIndex: i + 1, min: start / 1000, max, axisLine: { lineStyle: { color: colors.line } }, axisTick: { show: false }, axisLabel: { show: i === last, color: colors.low, fontSize: 11, hideOverlap: true, formatter: (v) => (end - start < 1200e6 ? A.hms : A.hm).format(v) }, splitLine: { show: true, lineStyle: { color: colors.soft } } });
        const edges = [...shown.map((a) => a.limit), ...(expected ? [p.expected] : [])];
        option.yAxis.push({ type: "value", gridIndex: i + 1, scale: true, splitNumber: each < 70 ? 2 : 3, axisLabel: { color: colors.low, fontSize: 10, showMinLabel: false, showMaxLabel: false, formatter: (v) => +v.toPrecision(4) }, splitLine: { lineStyle: { color: colors.soft } }, min: (v) => { const lo = Math.min(v.min, ...edges); return lo - 0.08 * (Math.max(v.max, ...edges) - lo || 1); }, max: (v) => { const hi = Math.max(v.max, ...edges); return hi + 0.08 * (hi - Math.min(v.min, ...edges) || 1); } });
        option.series.push({ id: `p${p.number}`, name: p.label, type: "line", xAxisIndex: i + 1, yAxisIndex: i + 1, showSymbol: false, data: at.t.map((t, k) => [t, badClass(at.q[k]) ? null : at.v[k]]), lineStyle: { color: colors.trend, width: 1.5 }, itemStyle: { color: colors.trend }, connectNulls: false, step: about?.states && Object.keys(about.states).length ? "end" : false,
          markLine: { silent: true, symbol: "none", animation: false, data: lines }, markArea: { silent: true, itemStyle: { color: colors.accent, opacity: 0.12 }, data: data.samples.filter((s) => s.point === p.number).map((s) => [{ xAxis: s.start / 1000 }, { xAxis: s.end / 1000 }]) } });
        if (cones.has(p.number)) option.series.push(...A.coneSeries(cones.get(p.number), i + 1, colors.trend, end + ahead, colors));
      });
      chart.setOption(option, { notMerge: true });
      put($("#wd-labels", node), `<div class="wd-l" style="top:6px;height:18px;width:${LEFT - 52}px"><span class="low">${esc(T("warn.grades"))}</span></div>` + data.points.map((p, i) => `<div class="wd-l" style="top:${32 + i * (each + 8)}px;height:${each}px;width:${LEFT - 52}px"><a class="clip" href="/trends?points=${p.number}">${esc(p.label)}</a><small class="low clip">${esc(p.sub || p.name)}</small>${p.share ? `<div class="bar" style="flex-wrap:nowrap;gap:6px">${bar(p.share)}<small class="num">${percent(p.share)}</small></div>` : ""}${each > 62 ? `<span class="num hi" data-val="${p.number}"></span>` : ""}</div>`).join(""));
      if (!data.points.length) put($("#wd-labels", node), `<div class="empty" style="position:absolute;inset:30px 0 0 0"><b>${esc(T("warn.no_points"))}</b><span>${esc(T("warn.no_points_hint"))}</span></div>`);
      figures();
    }
    function tip(items) {
      const rows = items.filter((i) => i.seriesId?.startsWith("p") && i.value[1] !== null);
      return rows.length ? `<span class="num">${A.hms.format(rows[0].value[0])}</span>` + rows.map((i) => `<br>${esc(i.seriesName)} <b class="num">${fmt(i.value[1])}</b>`).join("") : "";
    }
    const figures = () => { for (const p of data.points) { const value = valueOf(p.number); put($(`[data-val="${p.number}"]`, node), value ? `${pointValue(A.plant?.byNumber.get(p.number), value)} <small class="low">${esc(p.unit || A.plant?.byNumber.get(p.number)?.unit || "")}</small>` : ""); } };
    async function readCones() {
      cones = live() && data.points.length ? await A.cones(data.points.map((p) => p.number), 3600e6) : new Map();
      const [start, end] = window_();
      ahead = A.coneAhead(cones, end - start);
    }
    async function load() {
      const numbers = data.points.map((p) => p.number);
      if (numbers.length) {
        const [start, end] = window_();
        const [answer] = await Promise.all([get(`/console/series?points=${numbers.join(",")}&start=${Math.round(start)}&end=${Math.round(end)}&width=${Math.max(200, chart.getWidth() - LEFT)}`).catch(() => ({ series: {} })), readCones().catch(() => {})]);
        for (const n of numbers) series.set(n, answer.series[n] || { t: [], v: [], q: [] });
        const first = Math.min(...numbers.map((n) => (series.get(n).t[0] ?? Infinity))) * 1000;
        if (first > start + 0.1 * (end - start) && first < end) data.start = first - 0.03 * (end - first); // recorded only since then
      }
      layout(); A.want();
      node.dataset.ready = "1";
    }
    newer = (next) => { const before = data.points.map((p) => p.number).join(); data = next; words(); if (before !== data.points.map((p) => p.number).join()) load(); else layout(); };
    node.addEventListener("click", (event) => { const b = event.target.closest("[data-wv]"); if (b && !b.disabled) act(data.row, b.dataset.wv); });
    document.addEventListener("keydown", (event) => {
      if (typing(event) || !node.isConnected) return;
      const verb = Object.keys(KEYS).find((v) => KEYS[v].toLowerCase() === event.key.toLowerCase());
      if (verb) act(data.row, verb); else if (event.key === "Escape") location.href = "/warnings"; else return;
      event.preventDefault();
    });
    words();
    new ResizeObserver(() => { chart.resize(); if (node.dataset.ready) layout(); }).observe($("#wd-chart", node));
    let ticks = 0;
    A.register({ node, want: () => data.points.map((p) => p.number), frame() {
      if (W.rev !== seen) { seen = W.rev; send("an_warnings", null); }
      figures();
      if (!live()) return;
      const [start, end] = window_(), update = [];
      for (const p of data.points) {
        const at = series.get(p.number), value = valueOf(p.number);
        if (!at) continue;
        if (value && value.t && (!at.t.length || value.t / 1000 > at.t[at.t.length - 1])) { at.t.push(value.t / 1000); at.v.push(value.v); at.q.push(value.q); }
        update.push({ id: `p${p.number}`, data: at.t.map((t, k) => [t, badClass(at.q[k]) ? null : at.v[k]]) });
      }
      if (ticks++ % 5 === 0 && node.dataset.ready) chart.setOption({ xAxis: chart.getOption().xAxis.map(() => ({ min: start / 1000, max: (end + ahead) / 1000 })), series: update }, { lazyUpdate: true });
      if (ticks % 20 === 0) readCones().then(layout).catch(() => {});
    }, gone() { chart.dispose(); newer = null; } });
    await load();
  }

  /* ---- where points are going: median, 90 % band, predicted alarm ------------------------------------------------ */
  A.cones = async (numbers, span) => {
    const found = new Map();
    await Promise.all([A.loadPlant(), Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 2500))])]);
    if (W.silent) return found;
    const horizon = Math.round(Math.min(Math.max(span, 600e6), 8 * 3600e6));
    await Promise.all(numbers.map(async (n) => {
      const point = A.plant.byNumber.get(n);
      if (!point) return;
      const cone = await get(`/api/v1/forecast?path=${encodeURIComponent(point.path)}&horizon=${horizon}`).catch(() => null);
      if (cone?.trending && cone.times?.length) found.set(n, { ...cone, alarms: cone.alarms || [], number: n });
    }));
    return found;
  };
  // As far ahead as the predicted alarms lie, but the past keeps at least as much room.
  A.coneAhead = (cones, span) => Math.max(0, ...[...cones.values()].map((cone) => Math.min(cone.times[cone.times.length - 1] - A.now(), span, Math.max(0.25 * span, ...cone.alarms.map((a) => 1.2 * ((a.latest || a.expected) - A.now()))))));
  A.coneSeries = (cone, axis, color, until_, colors) => {
    const point = A.plant.byNumber.get(cone.number), floor = point?.low ?? -Infinity, roof = point?.high ?? Infinity, clip = (v) => Math.min(roof, Math.max(floor, v));
    const at = cone.times.map((t, i) => [t / 1000, i]).filter(([t]) => t <= until_ / 1000), base = { xAxisIndex: axis, yAxisIndex: axis, type: "line", showSymbol: false, silent: true, animation: false, tooltip: { show: false } };
    const low = at.map(([t, i]) => [t, clip(cone.low[i])]), wide = at.map(([t, i]) => [t, clip(cone.high[i]) - clip(cone.low[i])]);
    const name = `cone${cone.number}`, alarms = cone.alarms.filter((a) => a.expected <= until_);
    const left = (a) => T("warn.mark", { kind: a.kind, span: A.span(a.expected - A.now()) });
    return [
      { ...base, id: `${name}l`, data: low, stack: name, stackStrategy: "all", lineStyle: { opacity: 0 }, itemStyle: { color }, areaStyle: { opacity: 0 } },
      { ...base, id: `${name}w`, data: wide, stack: name, stackStrategy: "all", lineStyle: { opacity: 0 }, itemStyle: { color }, areaStyle: { color, opacity: 0.2 } },
      { ...base, id: `${name}m`, data: at.map(([t, i]) => [t, clip(cone.median[i])]), lineStyle: { color, width: 1.5, type: "dashed" }, itemStyle: { color },
        markLine: { silent: true, symbol: "none", animation: false, data: alarms.map((a) => [{ coord: [(a.earliest || a.expected) / 1000, a.limit], lineStyle: { color: colors[`p${a.priority}`], width: 3, type: "solid" }, label: { show: false } }, { coord: [Math.min(until_, a.latest || until_) / 1000, a.limit] }]) },
        markPoint: { silent: true, animation: false, data: alarms.map((a) => ({ name: "predicted", coord: [a.expected / 1000, a.limit], symbol: { 1: "rect", 2: "triangle", 3: "triangle", 4: "diamond" }[a.priority], symbolRotate: a.priority === 3 ? 180 : 0, symbolSize: 10, itemStyle: { color: colors.panel, borderColor: colors[`p${a.priority}`], borderWidth: 2 }, label: { show: true, position: "top", distance: 6, color: colors.high, fontSize: 11, formatter: left(a) } })) } },
    ];
  };

  /* ---- risk: tree with inherent and live index, red places, explanation ------------------------------------------ */
  const colourName = (c) => T(`riskcolour.${c}`);
  const risk = (A.risk = { chosen: null, nodes: [], by: new Map() });
  const current = (node) => { const live = W.col.get(node.path); return live ? { c: live[0], i: live[1] } : { c: node.colour, i: node.index }; };
  function riskTree(node) {
    risk.nodes = JSON.parse(node.dataset.nodes);
    risk.by = new Map(risk.nodes.map((n) => [n.path, n]));
    // Units are many: an area opens with a click, or when one of its units is chosen.
    const shut = new Set(risk.nodes.length > 40 ? risk.nodes.filter((n) => n.kind === "area").map((n) => n.path) : []);
    node.tabIndex = 0; node.setAttribute("role", "tree");
    const under = (path) => risk.nodes.filter((n) => n.kind === "unit" && (!path || n.path.startsWith(path + "/")));
    const visible = () => risk.nodes.filter((n) => { const parts = n.path.split("/"); if (n.path && shut.has("")) return false; for (let i = 1; i < parts.length; i++) if (shut.has(parts.slice(0, i).join("/"))) return false; return true; });
    function draw() {
      if (!risk.nodes.length) { put(node, `<div class="empty"><b>${esc(T("risk.none"))}</b><span>${esc(T("risk.none_hint"))}</span></div>`); return; }
      put(node, `<div class="rk rh"><span class="nm">${esc(T("warn.place"))}</span><span>${esc(T("risk.red_units"))}</span><span>${esc(T("risk.scale"))}</span><span class="ix">${esc(T("risk.live"))}</span><span class="ix">${esc(T("risk.inherent_head"))}</span><span class="ix">${esc(T("risk.raised"))}</span></div>` + visible().map((n) => {
        const now = current(n), reds = n.kind === "unit" ? 0 : under(n.path).filter((u) => current(u).c === 1).length, parent = n.kind !== "unit";
        return `<div class="n rk ${n.path === risk.chosen ? "on" : ""}" role="treeitem" data-path="${esc(n.path)}" title="${esc(n.path)}"><span class="nm" style="padding-left:${8 + n.depth * 16}px"><span class="tw" data-fold>${parent ? (shut.has(n.path) ? "▸" : "▾") : ""}</span>${shape(now.c, 13)}<span class="clip">${esc(n.name)}</span><small class="low">${esc(colourName(now.c))}</small></span><span>${reds ? `<span class="pill bad" title="${esc(T("risk.reds", { n: reds }))}">${shape(1, 10)} ${reds}</span>` : ""}</span><span class="rb" title="${esc(T("risk.bar", { inherent: n.inherent.toFixed(1), live: now.i.toFixed(1) }))}"><i style="width:${now.i}%;background:${now.i > n.inherent + 0.05 ? `var(--p${now.c})` : "var(--trend)"}"></i><b style="width:${n.inherent}%"></b></span><span class="num ix">${now.i.toFixed(1)}</span><span class="num ix low">${n.inherent.toFixed(1)}</span><span class="num ix up">${now.i - n.inherent > 0.05 ? `+${(now.i - n.inherent).toFixed(1)}` : ""}</span></div>`;
      }).join(""));
    }
    const choose = (path) => { risk.chosen = path; const parts = path.split("/"); for (let i = 1; i < parts.length; i++) shut.delete(parts.slice(0, i).join("/")); const map = $('[data-an="map"]'); if (map) { map._chosen = path; map._draw?.(); } draw(); $(".n.on", node)?.scrollIntoView({ block: "nearest" }); history.replaceState(null, "", `?at=${encodeURIComponent(path)}`); send("an_risk", { path }); };
    risk.choose = choose;
    node.addEventListener("click", (event) => {
      const line = event.target.closest("[data-path]"); if (!line) return;
      if (event.target.closest("[data-fold]") && line.dataset.path !== undefined) { const p = line.dataset.path; shut.has(p) ? shut.delete(p) : shut.add(p); draw(); } else choose(line.dataset.path);
    });
    node.addEventListener("keydown", (event) => {
      const list = visible().map((n) => n.path), at = list.indexOf(risk.chosen), step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
      if (step) choose(list[Math.max(0, Math.min(list.length - 1, at + step))]);
      else if (event.key === "ArrowLeft") { shut.add(risk.chosen); draw(); } else if (event.key === "ArrowRight") { shut.delete(risk.chosen); draw(); } else return;
      event.preventDefault();
    });
    draw();
    let painted = -1, first = true;
    A.register({ node, frame() {
      if (first) { first = false; const wanted = node.dataset.begin, worst = under("").sort((a, b) => current(b).i - current(a).i)[0]; if (risk.by.has(wanted) && new URLSearchParams(location.search).has("at")) choose(wanted); else if (worst) choose(worst.path); }
      if (W.painted !== painted) { const before = risk.seen; painted = W.painted; draw(); risk.drawReds?.(); const at = risk.by.get(risk.chosen); const now = at && JSON.stringify(current(at)); if (before && now && before !== now) send("an_risk", { path: risk.chosen }); risk.seen = now; }
    } });
    node.dataset.ready = risk.nodes.length;
  }
  function riskReds(node) {
    risk.drawReds = () => {
      const units = risk.nodes.filter((n) => n.kind === "unit"), reds = units.filter((n) => current(n).c === 1).sort((a, b) => current(b).i - current(a).i), counts = [1, 2, 3, 4].map((c) => units.filter((n) => current(n).c === c).length);
      put(node, `<span class="bar" style="gap:10px">${counts.map((n, i) => `<span class="bar" style="gap:4px" title="${esc(colourName(i + 1))}">${shape(i + 1, 13)}<span>${esc(colourName(i + 1))}</span> <b class="num hi">${n}</b></span>`).join("")}</span><span class="grow"></span>` +
        (reds.length ? `<span class="low">${esc(T("risk.red_now"))}</span>` + reds.slice(0, 6).map((n) => `<button class="mini red" data-path="${esc(n.path)}">${shape(1, 11)} ${esc(n.name)} <b class="num">${current(n).i.toFixed(0)}</b></button>`).join("") + (reds.length > 6 ? `<span class="low">+${reds.length - 6}</span>` : "") : `<span class="low">${esc(T("risk.no_red"))}</span>`));
    };
    node.addEventListener("click", (event) => { const b = event.target.closest("[data-path]"); if (b) risk.choose?.(b.dataset.path); });
    risk.drawReds();
  }
  function riskWhy(node) {
    put(node, `<div class="empty"><b>${esc(T("risk.choose"))}</b><span>${esc(T("risk.choose_hint"))}</span></div>`);
    W.explained = (n) => {
      if (risk.chosen !== null && n.path !== risk.chosen) return;
      const total = Math.max(1, ...n.terms.map((t) => t.adds)), floor = n.terms.find((t) => !t.since && !t.leaf);
      put(node, `<div><h3>${shape(n.colour, 17)} ${esc(n.name)}</h3><div class="low">${esc(n.path || T("risk.site"))}</div></div>` +
        `<div class="bar" style="gap:18px;align-items:flex-end;flex-wrap:nowrap"><div class="point-big" style="font-size:38px;line-height:42px">${n.index.toFixed(1)}<small>/ 100</small></div><div><span class="pill">${esc(colourName(n.colour))}</span><div class="low" style="margin-top:3px">${esc(T("risk.inherent"))} <span class="num hi">${n.inherent.toFixed(1)}</span> ${esc(colourName(n.ic))}${n.leaves > 1 ? ` · ${esc(T("risk.leaves", { n: n.leaves, red: n.red }))}` : ""}</div></div></div>` +
        `<div class="rbig"><i style="width:${n.index}%;background:var(--p${n.colour})"></i><b style="width:${n.inherent}%"></b></div><div class="low" style="font-size:11px;margin-top:-8px">${esc(T("risk.bar_note"))}</div>` +
        `<section><h4>${esc(T(n.terms.some((t) => t.leaf) ? "risk.from_leaves" : "risk.terms"))}</h4>${n.terms.map((t) => `<div class="term"><div class="bar" style="flex-wrap:nowrap;align-items:baseline"><span class="num hi adds">${t === floor || t.leaf ? "" : "+"}${t.adds.toFixed(1)}</span><span class="grow">${t.leaf ? `<a href="/risk?at=${encodeURIComponent(t.leaf)}" data-leaf="${esc(t.leaf)}">${esc(t.text)}</a>` : esc(t.text)}</span><span class="pill dim">${esc(t.kind)}</span></div>${bar(t.adds / total)}<div class="low src">${t.since ? `${esc(T("risk.since"))} <span class="num">${A.moment(t.since)}</span> · ` : ""}${esc(t.source)}${t.links.length ? ` · ${t.links.slice(0, 4).map((l) => `<a href="${esc(l.href)}">${esc(l.text)}</a>`).join(" ")}` : ""}</div></div>`).join("") || `<span class="low">${esc(T("risk.no_terms"))}</span>`}</section>` +
        (n.lacking.length ? `<section><h4>${esc(T("risk.lacking"))}</h4><p>${esc(n.lacking.join(", "))}</p></section>` : "") +
        `<dl class="kv left">${n.model ? `<dt>${esc(T("risk.model"))}</dt><dd>${esc(n.model)} v${n.version}</dd>` : ""}<dt>${esc(T("risk.at"))}</dt><dd class="num">${esc(n.time)}</dd></dl>`);
      node.dataset.path = n.path;
    };
    node.addEventListener("click", (event) => { const a = event.target.closest("[data-leaf]"); if (a) { event.preventDefault(); risk.choose?.(a.dataset.leaf); } });
  }

  /* ---- overview: open warnings, what is coming next, red places --------------------------------------------------- */
  function strip(node) {
    A.loadPlant().then(() => A.want());
    A.register({ node, frame() {
      const reds = [...W.col].filter(([path, [c]]) => c === 1 && A.plant?.unitByPath.has(path)), total = W.open.reduce((a, b) => a + b, 0);
      const name = (p) => { const q = A.plant?.byPath.get(p.path); return (q && (q.tag || A.named(q))) || p.path.split("/").pop(); };
      put(node, `<a class="ws-open" href="/warnings"><b>${esc(T("nav.warnings"))}</b>${W.open.map((n, i) => `<span class="${n ? "" : "zero"}" title="${esc(gradeName(i + 1))}">${shape(i + 1, 14)}<b class="num">${n}</b></span>`).join("")}${W.silent ? `<span class="pill warn">${esc(T("warn.silent"))}</span>` : ""}</a>` +
        `<span class="ws-next"><span class="low">${esc(T("warn.predicted"))}</span>${W.pred.slice(0, innerWidth < 1500 ? 2 : 4).map((p) => `<a class="ws-p" href="/trends?points=${p.point}&span=3600000000" title="${esc(p.path)} · ${percent(p.probability)}">${shape(p.priority || 4, 12, true)} <span class="clip">${esc(name(p))} ${esc(p.kind)}</span> <b class="num" data-until="${esc(JSON.stringify({ until: p.expected, on: true }))}">${A.span(Math.max(0, p.expected - A.now()))}</b></a>`).join("") || `<span class="low">${esc(T(W.silent ? "warn.silent" : "warn.nothing_predicted"))}</span>`}</span>` +
        `<a class="ws-red" href="/risk">${reds.length ? `${shape(1, 13)} <span class="clip">${esc(T("risk.strip_red", { n: reds.length }))} ${esc(reds.slice(0, 2).map(([path]) => A.named(A.plant.unitByPath.get(path))).join(", "))}</span>` : `<span class="low">${esc(T("risk.no_red"))}</span>`}</a>`);
      node.dataset.total = total;
    } });
  }
  Object.assign(A.components, { warntools: tools, warncard: card, warndetail: detail, risktree: riskTree, riskreds: riskReds, riskwhy: riskWhy, warnstrip: strip });
})();
