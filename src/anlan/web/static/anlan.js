/* Anlan console: one socket, one frame a second, and everything that is patched from it. No timers per widget, no options
   resent. Server side: anlan/web/live. Texts: anlan/web/i18n. */
"use strict";
(() => {
  const boot = window.ANLAN;
  const A = (window.anlan = { alarms: new Map(), values: new Map(), quality: new Map(), parts: {}, counts: null, kpi: {}, plant: null, extra: {} });
  const T = (key, args) => {
    let text = (window.ANLAN_TEXTS || {})[key] ?? key;
    for (const [name, value] of Object.entries(args || {})) text = text.replaceAll(`{${name}}`, value);
    return text;
  };
  const zh = boot.lang === "zh";
  const $ = (selector, root) => (root || document).querySelector(selector);
  const $$ = (selector, root) => [...(root || document).querySelectorAll(selector)];
  const esc = (text) => String(text ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const el = (tag, attributes, html) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
    if (html !== undefined) node.innerHTML = html;
    return node;
  };
  // Patch only what differs: no layout work for figures that stand still.
  const put = (node, html) => { if (node && node._html !== html) { node._html = html; node.innerHTML = html; } };
  const cls = (node, name, on) => { if (node && node.classList.contains(name) !== !!on) node.classList.toggle(name, !!on); };
  const named = (thing) => (thing ? (zh ? thing.name : thing.name_en) || thing.name || thing.name_en || thing.id || "" : "");
  const get = async (url) => {
    const response = await fetch(url, { credentials: "same-origin" });
    if (response.status === 401) { location.href = "/login?after=" + encodeURIComponent(location.pathname + location.search); }
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(body.detail || body.title || response.statusText);
    return body;
  };
  const send = (name, payload) => window.emitEvent(name, payload);

  /* ---- numbers, times ---------------------------------------------------------------------------------------- */
  const fmt = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size >= 1e7 || size < 1e-4)) return value.toExponential(2);
    const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
    return value.toFixed(digits);
  };
  const clockFormat = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: boot.zone, hourCycle: "h23", ...options });
  const hms = clockFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const hm = clockFormat({ hour: "2-digit", minute: "2-digit" });
  const ymd = new Intl.DateTimeFormat("sv-SE", { timeZone: boot.zone });
  const weekday = new Intl.DateTimeFormat(zh ? "zh-CN" : "en-GB", { timeZone: boot.zone, weekday: "short" });
  const time = (us) => (us ? hms.format(us / 1000) : "–");
  const day = (us) => ymd.format(us / 1000);
  const moment = (us) => (!us ? "–" : day(us) === day(A.now()) ? time(us) : `${day(us).slice(5)} ${time(us)}`);
  const span = (us) => {
    const s = Math.max(0, Math.round(us / 1e6));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
    if (s < 86400) return `${Math.floor(s / 3600)}:${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} h`;
    return `${(s / 86400).toFixed(1)} d`;
  };
  let skew = 0;
  A.now = () => (Date.now() + skew) * 1000;

  /* ---- shapes: never colour alone ---------------------------------------------------------------------------- */
  const PATHS = {
    1: "M1 1H15V15H1Z", 2: "M8 1.2 15.4 14.6H.6Z", 3: "M.6 1.4H15.4L8 14.8Z", 4: "M8 .8 15.2 8 8 15.2.8 8Z",
  };
  const NUMBER_Y = { 1: 11.8, 2: 13, 3: 9.6, 4: 11.6 };
  const shape = (priority, size, hollow) => {
    const color = `var(--p${priority})`;
    const fill = hollow ? `fill="none" stroke="${color}" stroke-width="1.8"` : `fill="${color}"`;
    return `<svg class="sh" width="${size || 14}" height="${size || 14}" viewBox="0 0 16 16" aria-hidden="true"><path d="${PATHS[priority]}" ${fill}/>` +
      `<text x="8" y="${NUMBER_Y[priority]}" text-anchor="middle" font-size="9.5" font-weight="700" fill="${hollow ? color : `var(--p${priority}-on)`}">${priority}</text></svg>`;
  };
  const prio = (priority) => T(`priority.${priority}`);
  const badClass = (q) => (q & 0xc0) >= 0x80;
  const QUALITY = { 0x89: "stale", 0x83: "not-connected", 0x82: "communication", 0x81: "sensor", 0x84: "range", 0x85: "not-a-number", 0x86: "clock", 0x87: "configuration", 0x88: "out-of-service", 0x8a: "calibrating", 0x80: "bad", 0x40: "uncertain", 0x41: "last-usable", 0x42: "uncertain-range", 0x43: "calibration-expired", 0x44: "substitute", 0x00: "good", 0x01: "overridden" };
  const qualityText = (q) => (q === undefined || q === null ? T("quality.none") : T(`quality.${QUALITY[q] || (badClass(q) ? "bad" : q >= 0x40 ? "uncertain" : "good")}`));

  /* ---- order: active before cleared, then priority, then unacknowledged, then newest --------------------------- */
  const rank = (row) => [row.active ? 0 : 1, row.priority, row.acknowledged ? 1 : 0, -(row.raised || 0)];
  const compare = (a, b) => {
    const left = rank(a), right = rank(b);
    for (let i = 0; i < 4; i++) if (left[i] !== right[i]) return left[i] - right[i];
    return a.alarm < b.alarm ? -1 : a.alarm > b.alarm ? 1 : 0;
  };
  // What a more urgent limit of the same point covers is one situation with it: lists show it once, the point's page shows both.
  A.sorted = (all) => [...A.alarms.values()].filter((row) => all || !row.covered).sort(compare);
  const stateText = (row) => T(`state.${row.state}`);
  const rowName = (row) => (zh ? row.name : row.name_en) || row.name || row.path.split("/").pop();
  // A connector's alarm names itself; everything else is the point and the kind of alarm.
  const rowTitle = (row, between) => (row.kind === "connector" ? rowName(row) : `${rowName(row)}${between || " "}${T(`kind.${row.kind}`)}`);
  // A rate or deviation has a limit of another quantity than the value beside it.
  const limitOf = (row, bare) => (row.limit == null ? "" : row.kind === "rate" ? (bare ? `${fmt(row.limit)}/s` : `${fmt(row.limit)} ${row.unit}/s`) : row.kind === "deviation" ? `Δ ${fmt(row.limit)}${bare ? "" : ` ${row.unit}`}` : bare ? fmt(row.limit) : `${fmt(row.limit)} ${row.unit}`);
  const unitName = (path) => {
    if (path.startsWith("connectors/")) return T("nav.connectors");
    const place = A.plant && A.plant.unitByPath.get(path.split("/").slice(0, 3).join("/"));
    return place ? named(place) : path.split("/").slice(0, 3).pop();
  };
  const pointOf = (number) => A.plant && A.plant.byNumber.get(number);
  const valueOf = (number) => A.values.get(number);
  const pointValue = (point, value) => {
    if (!value || value.v === null || value.v === undefined) return "–";
    if (point && point.states && Object.keys(point.states).length) return point.states[Math.round(value.v)] ?? fmt(value.v);
    return fmt(value.v);
  };

  /* ---- the plant, loaded once a revision ---------------------------------------------------------------------- */
  let plantPromise = null;
  A.loadPlant = () => {
    plantPromise ||= get(`/console/plant?rev=${boot.rev}&places=${boot.places}`).then((plant) => {
      plant.byNumber = new Map(plant.points.map((p) => [p.number, p]));
      plant.byPath = new Map(plant.points.map((p) => [p.path, p]));
      plant.unitByPath = new Map(plant.units.map((u) => [u.path, u]));
      plant.placeByPath = new Map(plant.places.map((p) => [p.path, p]));
      plant.alarmById = new Map(plant.alarms.map((a) => [a.id, a]));
      A.plant = plant;
      return plant;
    });
    return plantPromise;
  };

  /* ---- the socket: full frame first, then deltas -------------------------------------------------------------- */
  const parts = new Set();
  let socket = null, lastFrame = 0, retry = 500, closedFor = "";
  A.register = (part) => { parts.add(part); wantSoon(); if (A.counts) part.frame?.(null); return part; };
  let wantTimer = 0, wanted = "";
  const wantSoon = () => { clearTimeout(wantTimer); wantTimer = setTimeout(sendWant, 30); };
  A.want = wantSoon;
  function sendWant() {
    const numbers = new Set();
    for (const part of parts) for (const number of part.want?.() || []) numbers.add(number);
    const text = JSON.stringify({ want: [...numbers].sort((a, b) => a - b) });
    if (socket?.readyState === 1 && text !== wanted) { wanted = text; socket.send(text); }
  }
  function connect() {
    wanted = "";
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/console/live`);
    socket.onopen = () => { retry = 500; sendWant(); };
    socket.onmessage = (message) => take(JSON.parse(message.data));
    socket.onclose = (event) => {
      closedFor = event.reason || "";
      if (event.code === 4401) { location.href = "/login?after=" + encodeURIComponent(location.pathname + location.search); return; }
      setTimeout(connect, retry * (0.7 + 0.6 * Math.random()));
      retry = Math.min(retry * 1.7, 10000);
    };
  }
  function take(frame) {
    lastFrame = performance.now();
    if (frame.t) skew = frame.t / 1000 - Date.now();
    if (frame.full) { A.alarms.clear(); A.quality.clear(); }
    if (frame.rev && boot.rev && frame.rev !== boot.rev) { boot.rev = frame.rev; plantPromise = null; A.loadPlant().then(() => each("plant")); }
    for (const row of frame.up || []) A.alarms.set(row.alarm, row);
    for (const id of frame.gone || []) A.alarms.delete(id);
    for (const [number, q] of frame.q || []) q ? A.quality.set(number, q) : A.quality.delete(number);
    for (const [number, v, q, t] of frame.v || []) A.values.set(number, { v, q, t });
    if (frame.counts) A.counts = frame.counts;
    if (frame.kpi) A.kpi = { ...A.kpi, ...frame.kpi };
    if (frame.parts) A.parts = { ...A.parts, ...frame.parts };
    if (frame.problems) A.problems = frame.problems;
    for (const [name, part] of Object.entries(frame.x || {})) A.extra[name]?.(part, frame.full);
    A.last = frame;
    each("frame", frame);
    document.body.dataset.frames = (+(document.body.dataset.frames || 0) + 1);
  }
  function each(name, argument) {
    for (const part of parts) {
      if (part.node && !part.node.isConnected) { parts.delete(part); part.gone?.(); continue; }
      try { part[name]?.(argument); } catch (error) { console.error(error); }
    }
  }
  // The page's one clock: seconds in the header, and "is the feed still alive".
  setInterval(() => {
    const still = lastFrame ? (performance.now() - lastFrame) / 1000 : 0;
    const frozen = still > 3 || (!lastFrame && performance.now() > 6000);
    cls(document.body, "frozen", frozen);
    const banner = $("#an-frozen");
    if (banner) {
      cls(banner, "on", frozen);
      if (frozen) put($("span", banner), esc(T("frozen.text", { seconds: lastFrame ? Math.floor(still) : "–" }) + (closedFor ? ` ${closedFor}` : "")));
    }
    each("tick");
  }, 1000);

  const trouble = (p) => { const name = p.args?.process && T(`process.${p.args.process}`); return T(p.key, { ...p.args, ...(name ? { process: name.startsWith("process.") ? p.args.process : name } : {}) }); };

  /* ---- header ------------------------------------------------------------------------------------------------ */
  function header() {
    const top = $("#an-top"), counts = $("#an-counts");
    if (!top) return;
    let topRow = null;
    A.register({
      want: () => (topRow ? [topRow.point] : []),
      frame() {
        if (!A.counts) return;
        for (let p = 1; p <= 4; p++) {
          const node = $(`.p${p}`, counts), active = A.counts.active[p - 1];
          put($("b", node), String(active));
          cls(node, "zero", !active); cls(node, "unack", A.counts.unack[p - 1] > 0);
          const label = T("head.count", { priority: prio(p), active, unack: A.counts.unack[p - 1] });
          if (node.title !== label) { node.title = label; node.setAttribute("aria-label", label); }
        }
        const first = A.sorted().find((row) => !row.acknowledged);
        if ((first && first.alarm) !== (topRow && topRow.alarm)) wantSoon();
        topRow = first || null;
        top.className = "an-top an-live " + (first ? `on p${first.priority}` : "");
        if (!first) { put(top, `<span class="what clip">${esc(A.alarms.size ? T("head.all_acknowledged", { n: A.alarms.size }) : T("head.no_alarms"))}</span>`); return; }
        const value = valueOf(first.point), unacked = A.counts.unacknowledged;
        put(top, `<span class="${first.priority === 1 ? "blink" : ""}">${shape(first.priority, 18, !first.active)}</span><span class="what"><div class="clip"><b>${esc(rowTitle(first))}</b> ${first.point > 0 ? `<span class="num">${pointValue(pointOf(first.point), value || { v: first.value })}</span> ${esc(first.unit)}` : ""}${first.limit != null ? ` <span class="low">${esc(T("col.limit"))} <span class="num">${esc(limitOf(first))}</span></span>` : ""}</div><div class="clip"><small>${esc(unitName(first.path))} · ${esc(stateText(first))} · <span class="num">${moment(first.raised)}</span>${unacked > 1 ? " · " + esc(T("head.more", { n: unacked - 1 })) : ""}</small></div></span>` +
          `<a class="btn" href="/alarms?alarm=${encodeURIComponent(first.alarm)}">${esc(T("act.look"))}</a>` + ackButton(first));
      },
      tick() {
        const now = A.now();
        put($("#an-clock"), `${time(now)}<small>${day(now)} ${weekday.format(now / 1000)}</small>`);
        const health = $("#an-health");
        if (health) {
          const problems = A.problems || [];
          const waiting = A.counts ? A.counts.unacknowledged : 0, plain = document.title.replace(/^\(\d+\) /, "");
          const title = waiting ? `(${waiting}) ${plain}` : plain;
          if (document.title !== title) document.title = title;
          cls(document.body, "stale", problems.some((p) => /^problem\.(alarms_|fabric)/.test(p.key)));
          cls(health, "on", problems.length > 0);
          cls(health, "red", problems.some((p) => p.grave));
          put($("span", health), problems.slice(0, 2).map((p) => esc(trouble(p))).join(" ") + (problems.length > 2 ? ` <a href="/health">${esc(T("health.more", { n: problems.length - 2 }))}</a>` : ""));
        }
      },
    });
  }
  const ackButton = (row) => (row.acknowledged ? "" : `<button class="btn main" data-ack="${esc(row.alarm)}" ${boot.may.acknowledge ? "" : `disabled title="${esc(T("may.not_acknowledge"))}"`}>${esc(T("act.acknowledge"))}</button>`);
  const brief = (row) => ({ alarm: row.alarm, instance: row.instance, priority: row.priority, path: row.path, name: rowName(row) });
  A.act = (verb, rows) => { if (rows.length) send("an_act", { verb, rows: rows.map(brief) }); };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ack]");
    if (button && !button.disabled) {
      event.preventDefault(); event.stopPropagation();
      const row = A.alarms.get(button.dataset.ack);
      if (row) A.act("acknowledge", [row]);
    }
    const tool = event.target.closest("[data-set]");
    if (tool) { event.preventDefault(); document.cookie = `anlan_${tool.dataset.set}=${tool.dataset.value}; path=/; max-age=31536000; samesite=lax`; location.reload(); }
  }, true);

  /* ---- sound ------------------------------------------------------------------------------------------------- */
  const sound = {
    audio: null, muted: false, next: 0,
    start() {
      try { this.audio ||= new AudioContext(); this.audio.resume?.(); } catch { this.audio = null; }
    },
    blocked() { return !this.audio || this.audio.state !== "running"; },
    beep(priority, at) {
      const [tone, times] = { 1: [988, 3], 2: [784, 2], 3: [587, 1], 4: [440, 1] }[priority];
      for (let i = 0; i < times; i++) {
        const oscillator = this.audio.createOscillator(), gain = this.audio.createGain(), t = at + i * 0.22;
        oscillator.frequency.value = tone; oscillator.type = "triangle";
        gain.gain.setValueAtTime(0.0001, t); gain.gain.exponentialRampToValueAtTime(0.4, t + 0.02); gain.gain.exponentialRampToValueAtTime(0.0001, t + 0.18);
        oscillator.connect(gain).connect(this.audio.destination); oscillator.start(t); oscillator.stop(t + 0.2);
      }
    },
    test() { this.start(); setTimeout(() => { if (!this.blocked()) this.beep(1, this.audio.currentTime + 0.02); this.show(); }, 60); },
    show() {
      const node = $("#an-sound");
      if (!node) return;
      const off = localStorage.getItem("anlan.sound") === "off", blocked = !off && this.blocked();
      cls(node, "warn", off || blocked);
      const key = off ? "sound.off" : blocked ? "sound.blocked" : "sound.on";
      node.title = T(key + "_hint"); node.setAttribute("aria-label", T(key));
      node.dataset.state = off ? "off" : blocked ? "blocked" : "on";
      put(node, icon(off || blocked ? "volume_off" : "volume_up") + (off || blocked ? `<span>${esc(T(key))}</span>` : ""));
    },
  };
  A.sound = sound;
  const icon = (name) => `<i class="material-icons-outlined" style="font-size:19px">${name}</i>`;
  function soundPart() {
    const node = $("#an-sound");
    if (!node) return;
    let lastRing = 0;
    sound.start();
    addEventListener("pointerdown", () => { sound.start(); setTimeout(() => sound.show(), 50); }, { once: false, passive: true });
    addEventListener("keydown", () => sound.start(), { passive: true });
    node.addEventListener("click", () => {
      if (node.dataset.state === "blocked") { sound.test(); return; }
      localStorage.setItem("anlan.sound", localStorage.getItem("anlan.sound") === "off" ? "on" : "off"); sound.show();
    });
    A.register({
      frame() {
        const worst = A.sorted().find((row) => row.active && !row.acknowledged);
        const every = { 1: 2000, 2: 5000, 3: 12000, 4: 30000 };
        if (worst && localStorage.getItem("anlan.sound") !== "off" && !sound.blocked() && performance.now() - lastRing > every[worst.priority]) {
          lastRing = performance.now(); sound.beep(worst.priority, sound.audio.currentTime + 0.02);
        }
      },
      tick() { sound.show(); },
    });
  }

  /* ---- charts ------------------------------------------------------------------------------------------------ */
  let echartsPromise = null;
  const loadCharts = () => (echartsPromise ||= import("nicegui-echart").then((module) => module.echarts));
  const palette = () => Object.fromEntries(["bg", "panel", "raised", "line", "soft", "low", "text", "high", "p1", "p2", "p3", "p4", "accent", "trend"].map((name) => [name, css(name)]));
  const paint = (option) => {
    const colors = palette();
    return JSON.parse(JSON.stringify(option), (_, value) => (typeof value === "string" && value[0] === "$" && colors[value.slice(1)] ? colors[value.slice(1)] : value));
  };
  const font = '"Roboto","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif';
  const watchSize = (node, chart) => new ResizeObserver(() => chart.resize()).observe(node);
  const axisTime = (value) => hm.format(value);
  const limitColor = { HH: "p1", LL: "p1", H: "p2", L: "p2" };
  const limitLines = (point, colors) => (A.plant ? A.plant.alarms : []).filter((a) => a.point === point.number && a.limit != null && limitColor[a.kind]).map((a) => ({
    yAxis: a.limit, name: a.kind, lineStyle: { color: colors[limitColor[a.kind]], type: "dashed", width: 1, opacity: 0.9 }, label: { show: false },
  }));
  const worstOf = (number) => {
    let worst = 0;
    for (const row of A.alarms.values()) if (row.point === number && row.active && !row.covered && (!worst || row.priority < worst)) worst = row.priority;
    return worst;
  };

  /* A small live trend: last `minutes`, limits dashed, the value's chip coloured only on breach. */
  async function spark(node, number, minutes) {
    const [echarts] = await Promise.all([loadCharts(), A.loadPlant()]);
    const point = pointOf(number);
    if (!point) { put(node, ""); return null; }
    node.href = `/trends?points=${number}`;
    put(node, `<div class="t"><span class="nm clip">${esc(named(point) || point.path.split("/").pop())}</span><span class="tag clip">${esc(point.tag || point.path.split("/").slice(2).join("/"))}</span><span class="chip">–</span><small class="low">${esc(point.unit)}</small></div><div class="chart"></div>`);
    const colors = palette(), chart = echarts.init($(".chart", node), null, { renderer: "canvas" });
    watchSize($(".chart", node), chart);
    const data = [], lines = limitLines(point, colors), length = minutes * 60e3;
    const low = point.low, high = point.high;
    chart.setOption({
      animation: false, grid: { left: 42, right: 8, top: 8, bottom: 18 }, textStyle: { fontFamily: font },
      xAxis: { type: "time", min: A.now() / 1000 - length, max: A.now() / 1000, splitNumber: 4, axisLine: { lineStyle: { color: colors.line } }, axisTick: { show: false }, axisLabel: { color: colors.low, fontSize: 10, formatter: axisTime, hideOverlap: true }, splitLine: { show: false } },
      yAxis: { type: "value", scale: true, splitNumber: 3, axisLabel: { color: colors.low, fontSize: 10, showMinLabel: false, showMaxLabel: false, formatter: (v) => +v.toPrecision(4) }, splitLine: { showMinLine: false, showMaxLine: false, lineStyle: { color: colors.soft } },
        min: (v) => { const near = lines.map((l) => l.yAxis).filter((y) => y < v.min && v.min - y < 3 * (v.max - v.min + 1e-9)); const lo = Math.min(v.min, ...near); return lo - 0.08 * (Math.max(v.max, lo + 1e-6) - lo); },
        max: (v) => { const near = lines.map((l) => l.yAxis); const over = near.filter((y) => y > v.max); const hi = Math.max(v.max, over.length ? Math.min(...over) : v.max, ...near.filter((y) => y <= v.max)); return hi + 0.08 * (hi - v.min || 1); } },
      series: [{ type: "line", showSymbol: false, data, lineStyle: { color: colors.trend, width: 1.5 }, itemStyle: { color: colors.trend }, connectNulls: false, markLine: { silent: true, symbol: "none", animation: false, data: lines } }],
    });
    const end = A.now();
    get(`/console/series?points=${number}&start=${Math.round(end - length * 1000)}&end=${Math.round(end)}&width=300`).then((answer) => {
      const series = answer.series[number];
      if (series) data.unshift(...series.t.map((t, i) => [t, badClass(series.q[i]) ? null : series.v[i]]).filter(([t]) => !data.length || t < data[0][0]));
    }).catch(() => {});
    let lastTime = 0;
    const part = {
      node, want: () => [number],
      frame() {
        const value = valueOf(number), now = A.now() / 1000;
        const chip = $(".chip", node), worst = worstOf(number);
        chip.className = "chip" + (worst ? ` p${worst}` : "") + (value && badClass(value.q) ? " hatched" : "");
        put(chip, pointValue(point, value));
        if (value && value.t > lastTime) { lastTime = value.t; data.push([value.t / 1000, badClass(value.q) ? null : value.v]); }
        while (data.length && data[0][0] < now - length) data.shift();
        chart.setOption({ xAxis: { min: now - length, max: now }, series: [{ data }] }, { lazyUpdate: true });
      },
      gone() { chart.dispose(); },
    };
    return A.register(part);
  }

  async function staticChart(node) {
    const echarts = await loadCharts(), option = paint(JSON.parse(node.dataset.option));
    const chart = echarts.init(node);
    watchSize(node, chart);
    option.animation = false; option.textStyle = { fontFamily: font, ...(option.textStyle || {}) };
    for (const axis of [].concat(option.xAxis || [])) if (axis.type === "time") axis.axisLabel = { ...(axis.axisLabel || {}), formatter: (v) => (node.dataset.days ? `${ymd.format(v).slice(5)} ${hm.format(v)}` : hm.format(v)), hideOverlap: true };
    chart.setOption(option);
    node._chart = chart;
  }

  /* ---- grids ------------------------------------------------------------------------------------------------- */
  let gridPromise = null;
  const loadGrid = () => (gridPromise ||= import("nicegui-aggrid").then((ag) => {
    ag.ModuleRegistry.registerModules([ag.AllCommunityModule]);
    A.gridTheme = ag.themeQuartz.withParams({
      backgroundColor: "var(--panel)", foregroundColor: "var(--text)", headerBackgroundColor: "var(--panel)", headerTextColor: "var(--low)", chromeBackgroundColor: "var(--panel)",
      borderColor: "var(--soft)", rowBorder: { color: "var(--soft)" }, wrapperBorder: false, wrapperBorderRadius: 0, headerColumnBorder: false, headerFontWeight: 400, headerFontSize: 12, fontSize: 13, rowHeight: 29, headerHeight: 29,
      rowHoverColor: "var(--raised)", selectedRowBackgroundColor: "var(--accent-bg)", accentColor: "var(--accent)", cellHorizontalPadding: 10, oddRowBackgroundColor: "var(--panel)", fontFamily: "inherit", menuBackgroundColor: "var(--raised)", tooltipBackgroundColor: "var(--raised)", tooltipTextColor: "var(--text)", inputBackgroundColor: "var(--bg)", headerColumnResizeHandleColor: "var(--soft)", checkboxBorderRadius: 2, pinnedRowBorder: { color: "var(--line)" },
    });
    return ag;
  }));
  const localeText = zh ? window.ANLAN_GRID_ZH || {} : {};
  const alarmColumns = (mode) => {
    const wide = mode === "page";
    const live = (row) => valueOf(row.point);
    const columns = [
      { colId: "priority", headerName: T("col.priority"), width: 92, valueGetter: (p) => `${p.data.priority}${p.data.active ? 0 : 1}${p.data.acknowledged ? 1 : 0}`, cellRenderer: (p) => `<span class="pri"><span class="${p.data.priority === 1 && !p.data.acknowledged ? "blink" : ""}">${shape(p.data.priority, 15, !p.data.active)}</span>${esc(prio(p.data.priority))}</span>` },
      { colId: "state", headerName: T("col.state"), width: zh ? 118 : 168, valueGetter: (p) => stateText(p.data) },
      { colId: "raised", headerName: T("col.raised"), width: 118, valueGetter: (p) => p.data.raised, cellRenderer: (p) => `<span class="num">${moment(p.data.raised)}</span>` },
      { colId: "tag", headerName: T("col.tag"), width: 128, valueGetter: (p) => pointOf(p.data.point)?.tag || p.data.path.split("/").pop(), tooltipValueGetter: (p) => p.data.path },
      { colId: "name", headerName: T("col.name"), flex: 1.2, minWidth: 130, cellClass: "strong", valueGetter: (p) => rowTitle(p.data), tooltipValueGetter: (p) => p.value },
      { colId: "unit_name", headerName: T("col.unit_name"), flex: 1, minWidth: 100, valueGetter: (p) => unitName(p.data.path), tooltipValueGetter: (p) => p.value },
      { colId: "value", headerName: T("col.value"), width: 92, headerClass: "r", cellClass: (p) => "r" + (live(p.data) && badClass(live(p.data).q) ? " hatched" : ""), valueGetter: (p) => live(p.data)?.v ?? p.data.value, cellRenderer: (p) => pointValue(pointOf(p.data.point), live(p.data) || { v: p.data.value }) },
      { colId: "limit", headerName: T("col.limit"), width: 80, headerClass: "r", cellClass: "r low", valueGetter: (p) => p.data.limit, cellRenderer: (p) => esc(limitOf(p.data, true)) },
      { colId: "eu", headerName: T("col.eu"), width: 68, cellClass: "low", valueGetter: (p) => p.data.unit },
    ];
    if (innerWidth < 1500) { // one cell for value, limit and unit; narrower words
      const at = columns.findIndex((c) => c.colId === "value");
      columns.splice(at, 3, { ...columns[at], headerName: `${T("col.value")} / ${T("col.limit")}`, width: 150, cellRenderer: (p) => `${pointValue(pointOf(p.data.point), live(p.data) || { v: p.data.value })} <span class="low">${p.data.kind === "rate" || p.data.kind === "deviation" ? esc(p.data.unit) : `${p.data.limit == null ? "" : "/ " + fmt(p.data.limit)} ${esc(p.data.unit)}`}</span>` });
      for (const c of columns) c.width = { priority: zh ? 84 : 90, state: zh ? 104 : 122, raised: 86, tag: 92, value: 142, act: 66 }[c.colId] ?? c.width;
      for (const c of columns) if (c.flex) c.minWidth = 84;
    }
    if (wide && innerWidth >= 1500) columns.push({ colId: "age", headerName: T("col.age"), width: 84, headerClass: "r", cellClass: "r", valueGetter: (p) => -p.data.raised, cellRenderer: (p) => span(A.now() - p.data.raised) });
    columns.push({ colId: "act", headerName: T("col.act"), width: 78, sortable: false, valueGetter: (p) => `${p.data.acknowledged} ${p.data.who} ${p.data.comment}`, cellRenderer: (p) => (p.data.acknowledged ? `<span class="low clip" title="${esc(p.data.who)} ${esc(p.data.comment)}">${esc(p.data.who || T("col.acknowledged"))}</span>` : ackButton(p.data).replace("btn main", "mini").replace(`>${esc(T("act.acknowledge"))}<`, `>${esc(T("act.ack"))}<`)) });
    return columns;
  };
  const rowClass = { act: (p) => p.data.active, ret: (p) => !p.data.active, unack: (p) => !p.data.acknowledged };

  /* The alarm grid. Sorting is ours (rows arrive in order), active reds are pinned, so no sort order can hide them. */
  async function alarmGrid(node) {
    const mode = node.dataset.mode, ag = await loadGrid();
    await A.loadPlant();
    let filter = "", api = null, shown = [];
    const options = {
      theme: A.gridTheme, columnDefs: alarmColumns(mode), defaultColDef: { sortable: mode === "page", resizable: true, suppressMovable: true, suppressHeaderMenuButton: true }, localeText,
      getRowId: (p) => p.data.alarm, rowClassRules: rowClass, tooltipShowDelay: 400, animateRows: false, suppressCellFocus: mode !== "page", enableCellTextSelection: true,
      overlayNoRowsTemplate: `<div class="empty"><b>${esc(T("alarms.none"))}</b><span>${esc(T("alarms.none_hint"))}</span></div>`,
      rowSelection: mode === "page" ? { mode: "multiRow", headerCheckbox: true, checkboxes: true, enableClickSelection: true } : undefined,
      selectionColumnDef: { width: 40, resizable: false }, alwaysMultiSort: false,
      onRowClicked: (event) => { if (mode === "page") A.select?.(event.data); else location.href = `/alarms?alarm=${encodeURIComponent(event.data.alarm)}`; },
      onSelectionChanged: () => A.selection?.(api.getSelectedRows()),
      onCellKeyDown: (event) => { if (event.event.key === "Enter") A.select?.(event.data); },
    };
    api = ag.createGrid(node, options);
    node._grid = api;
    const priority = node.dataset.priority ? node.dataset.priority.split(",").map(Number) : null;
    const match = (row) => (!filter || `${row.path} ${row.name} ${row.name_en || ""} ${unitName(row.path)} ${pointOf(row.point)?.tag || ""} ${row.kind}`.toLowerCase().includes(filter)) && (!node._priorities || node._priorities.has(row.priority)) && (!node._unacked || !row.acknowledged) && (!node._scope || row.path === node._scope || row.path.startsWith(node._scope + "/"));
    if (priority) node._priorities = new Set(priority);
    node._filter = (text) => { filter = text.trim().toLowerCase(); refresh(true); };
    node._refresh = () => refresh(true);
    let signature = "";
    function refresh(force) {
      const rows = A.sorted().filter(match), pinned = mode === "page" ? [] : null;
      const order = rows.map((row) => `${row.alarm} ${row.active}${row.acknowledged}${row.instance}${row.changed}`).join();
      if (force || order !== signature) {
        signature = order; shown = rows;
        const reds = rows.filter((row) => row.active && row.priority === 1);
        node.dataset.order = rows.map((row) => row.alarm).join("|");
        if (pinned && api.getColumnState().some((c) => c.sort)) api.setGridOption("pinnedTopRowData", reds); else if (pinned) api.setGridOption("pinnedTopRowData", []);
        api.setGridOption("rowData", rows);
      } else {
        api.refreshCells({ columns: ["value", ...(api.getColumn("age") ? ["age"] : [])], force: false });
      }
    }
    api.addEventListener("sortChanged", () => refresh(true));
    A.register({ node, want: () => shown.slice(0, 200).map((row) => row.point), frame() { const before = signature; refresh(false); if (before !== signature) wantSoon(); }, plant() { refresh(true); } });
    refresh(true);
    const wantedAlarm = new URLSearchParams(location.search).get("alarm");
    if (mode === "page" && wantedAlarm) {
      const row = () => A.alarms.get(wantedAlarm);
      const pick = () => { if (row()) { api.getRowNode(wantedAlarm)?.setSelected(true); api.ensureNodeVisible(api.getRowNode(wantedAlarm)); A.select?.(row()); } };
      if (row()) pick(); else setTimeout(pick, 1500);
    }
  }

  /* A plain grid whose columns and rows the page gives; `format` names a renderer. */
  const FORMATS = {
    time: (v) => `<span class="num">${moment(v)}</span>`, datetime: (v) => (v ? `<span class="num">${day(v)} ${time(v)}</span>` : "–"), number: (v) => fmt(v), count: (v) => (v == null ? "–" : Number(v).toLocaleString("en-US")),
    span: (v) => span(v), priority: (v) => (v ? `<span class="pri">${shape(v, 15)}${esc(prio(v))}</span>` : ""), kind: (v) => esc(T(`kind.${v}`)), quality: (v) => esc(qualityText(v)),
    state: (v) => esc(T(`state.${v}`)), arrow: (v) => esc(T(`arrow.${v}`)), pill: (v) => (v ? `<span class="pill ${esc(v.tone || "")}">${esc(v.text)}</span>` : ""), point: (v) => { const p = A.plant?.byPath.get(v) || pointOf(v); return p ? `<a href="/plant?point=${encodeURIComponent(p.path)}">${esc(p.tag || p.path.split("/").pop())}</a>` : esc(v); }, unit: (v) => esc(v ? unitName(v) : ""), html: (v) => v, bytes: (v) => bytes(v), link: (v) => (v ? `<a href="${esc(v.href)}">${esc(v.text)}</a>` : ""),
    role: (v) => esc(v),
  };
  const bytes = (n) => { if (n == null) return "–"; const units = ["B", "KB", "MB", "GB", "TB"]; let i = 0; while (n >= 1024 && i < 4) { n /= 1024; i++; } return `${n.toFixed(i ? 1 : 0)} ${units[i]}`; };
  async function plainGrid(node) {
    const ag = await loadGrid();
    await A.loadPlant().catch(() => {});
    const setup = JSON.parse(node.dataset.setup);
    const columns = setup.columns.filter((column) => !column.wide || innerWidth >= 1500).map((column) => {
      const { format, key, right, wide, ...rest } = column;
      const definition = { field: key, colId: key, tooltipField: format ? undefined : key, headerClass: right ? "r" : undefined, cellClass: right ? "r" : undefined, ...rest };
      if (format === "button") definition.cellRenderer = (p) => (p.value ? `<button class="mini" data-row="${esc(p.node.id)}" data-verb="${esc(p.value.verb)}" ${p.value.off ? `disabled title="${esc(p.value.off)}"` : ""}>${esc(p.value.text)}</button>` : "");
      else if (format === "buttons") definition.cellRenderer = (p) => `<span style="display:inline-flex;gap:5px;vertical-align:middle;line-height:1">${(p.value || []).map((b) => `<button class="mini" data-row="${esc(p.node.id)}" data-verb="${esc(b.verb)}" ${b.off ? `disabled title="${esc(b.off)}"` : ""}>${esc(b.text)}</button>`).join("")}</span>`;
      else if (format) { definition.cellRenderer = (p) => FORMATS[format](p.value); definition.useValueFormatterForExport = false; }
      if (["pill", "button", "buttons", "link", "grade", "lead"].includes(format)) { definition.equals = (a, b) => JSON.stringify(a) === JSON.stringify(b); definition.comparator = (a, b) => String(a?.text ?? "").localeCompare(String(b?.text ?? "")); definition.keyCreator = (p) => p.value?.text; definition.valueFormatter = (p) => p.value?.text ?? ""; definition.filterValueGetter = (p) => p.data[key]?.text; definition.getQuickFilterText = (p) => p.value?.text ?? ""; }
      if (format === "grade") definition.comparator = (a, b) => a.g - b.g;
      else if (format === "lead") definition.comparator = (a, b) => (a?.until || Infinity) - (b?.until || Infinity);
      return definition;
    });
    const api = ag.createGrid(node, {
      theme: A.gridTheme, columnDefs: columns, rowData: setup.rows || [], localeText, defaultColDef: { sortable: true, resizable: true, suppressMovable: true, suppressHeaderMenuButton: true }, animateRows: false, tooltipShowDelay: 400, enableCellTextSelection: true,
      getRowId: setup.id ? (p) => String(p.data[setup.id]) : undefined, rowSelection: setup.select ? { mode: "multiRow", headerCheckbox: true, checkboxes: true, enableClickSelection: true } : setup.pick ? { mode: "singleRow", checkboxes: false, enableClickSelection: true } : undefined, selectionColumnDef: { width: 40 },
      overlayNoRowsTemplate: `<div class="empty"><b>${esc(setup.empty || "")}</b><span>${esc(setup.hint || "")}</span></div>`,
      onRowClicked: (event) => { if (!event.event.target.closest("[data-verb], .ag-cell:has([data-verb])") && setup.click) send(setup.click, event.data[setup.id]); if (setup.guide) A.guide?.(event.data); },
      onRowDoubleClicked: (event) => { if (setup.open) location.href = setup.open + encodeURIComponent(event.data[setup.id]); },
    });
    node.addEventListener("click", (event) => {
      const button = event.target.closest("[data-verb]");
      if (button && !button.disabled) send(setup.event, { verb: button.dataset.verb, id: button.dataset.row });
    });
    // Keys: Enter goes from a cell into its buttons (or does what a click on the row does), arrows go along them.
    node.addEventListener("keydown", (event) => {
      const button = event.target.closest("[data-verb]"), cell = event.target.closest(".ag-cell");
      if (!cell) return;
      const all = [...cell.querySelectorAll("[data-verb]:not(:disabled)")], step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (button && (step || event.key === "Enter" || event.key === " ")) {
        event.stopPropagation();
        if (step) { event.preventDefault(); all[all.indexOf(button) + step]?.focus(); }
      } else if (!button && event.key === "Enter") {
        if (all.length) { event.preventDefault(); event.stopPropagation(); all[0].focus(); }
        else if (setup.click) send(setup.click, cell.closest("[row-id]")?.getAttribute("row-id"));
      }
    }, true);
    node._grid = api;
    node._setup = setup;
    node._rows = (rows) => api.setGridOption("rowData", rows);
    node._selected = () => api.getSelectedRows();
  }
  A.rows = (id, rows) => { const node = document.querySelector(`[data-key="${id}"]`); if (node?._rows) node._rows(rows); else setTimeout(() => A.rows(id, rows), 60); };
  A.quick = (id, text) => document.querySelector(`[data-key="${id}"]`)?._grid?.setGridOption("quickFilterText", text);
  A.emptyText = (id, html) => { const node = document.querySelector(`[data-key="${id}"]`); node?._grid?.setGridOption("overlayNoRowsTemplate", html); const shown = node && $(".ag-overlay .empty", node); if (shown) shown.outerHTML = html; };
  A.csv = (id, name) => document.querySelector(`[data-key="${id}"]`)?._grid?.exportDataAsCsv({ fileName: name });

  Object.assign(A, { T, trouble, $, $$, esc, css, el, put, cls, named, get, send, fmt, hm, hms, time, day, moment, span, shape, prio, badClass, qualityText, compare, stateText, rowName, rowTitle, limitOf, unitName, pointOf, valueOf, pointValue, loadCharts, palette, paint, font, watchSize, limitLines, limitColor, worstOf, spark, ackButton, icon, bytes, boot, zh, FORMATS, loadGrid });

  /* Asks the server for what is not in the frame, every so many frames: the page needs no timer of its own. */
  function pulse(node) {
    let left = 0;
    A.register({ node, frame() { if (left-- > 0) return; left = +node.dataset.every - 1; send(node.dataset.event, null); } });
  }

  /* ---- starting components as they enter the page ------------------------------------------------------------- */
  A.components = { alarms: alarmGrid, grid: plainGrid, chart: staticChart, time: (node) => put(node, moment(+node.dataset.us)), pulse };
  const scan = () => {
    for (const node of $$("[data-an]")) {
      const start = A.components[node.dataset.an];
      if (node._on || !start) continue;
      node._on = true;
      Promise.resolve(start(node)).catch((error) => console.error(node.dataset.an, error));
    }
  };
  let scheduled = false;
  const begin = () => {
    header(); soundPart(); A.search?.();
    A.loadPlant().catch(() => {});
    scan();
    new MutationObserver(() => { if (!scheduled) { scheduled = true; requestAnimationFrame(() => { scheduled = false; scan(); }); } }).observe(document.body, { childList: true, subtree: true });
    connect();
  };
  const whenReady = () => ($("#an-top") ? begin() : setTimeout(whenReady, 20));
  addEventListener("DOMContentLoaded", whenReady);
})();
