/* The site map: zones in local metres on a canvas, no tiles. Redrawn only when something changed. Part of anlan.js's shared frame. */
"use strict";
(() => {
  const A = window.anlan, { $, T, esc, css, put, cls, named, shape, badClass, pointOf, valueOf, pointValue, unitName } = A;
  const SHAPES = {
    1: (c, x, y, r) => c.rect(x - r, y - r, 2 * r, 2 * r),
    2: (c, x, y, r) => { c.moveTo(x, y - r * 1.15); c.lineTo(x + r * 1.15, y + r * 0.95); c.lineTo(x - r * 1.15, y + r * 0.95); c.closePath(); },
    3: (c, x, y, r) => { c.moveTo(x, y + r * 1.15); c.lineTo(x + r * 1.15, y - r * 0.95); c.lineTo(x - r * 1.15, y - r * 0.95); c.closePath(); },
    4: (c, x, y, r) => { c.moveTo(x, y - r * 1.25); c.lineTo(x + r * 1.25, y); c.lineTo(x, y + r * 1.25); c.lineTo(x - r * 1.25, y); c.closePath(); },
  };
  const inside = (rings, x, y) => {
    let hit = false;
    for (const ring of rings) for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      const [xi, yi] = ring[i], [xj, yj] = ring[j];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) hit = !hit;
    }
    return hit;
  };
  const CARDINALS = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"];

  async function siteMap(node) {
    const canvas = document.createElement("canvas"), tip = A.el("div", { class: "tip" });
    canvas.tabIndex = 0; canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", T("map.aria"));
    node.append(canvas, tip);
    let layer = node.dataset.layer || "alarms";
    const risky = () => layer === "risk", riskOf = (path) => A.warn?.col.get(path);
    const legend = A.el("div", { class: "legend" });
    node.append(legend);
    const alarmLegend = ([1, 2, 3, 4].map((p) => `<span>${shape(p, 11)}${esc(A.prio(p))}</span>`).join("") +
      `<span><svg width="8" height="8"><circle cx="4" cy="4" r="3" fill="var(--map-dot)"/></svg>${esc(T("map.normal"))}</span><span><svg width="11" height="11" viewBox="0 0 11 11"><circle cx="5.5" cy="5.5" r="4" fill="none" stroke="var(--low)" stroke-width="1.4"/><path d="M2.5 8.5 8.5 2.5" stroke="var(--low)" stroke-width="1.4"/></svg>${esc(T("map.bad"))}</span>`);
    const riskLegend = `<span class="hi">${esc(T("risk.layer"))}</span>` + [1, 2, 3, 4].map((p) => `<span>${shape(p, 11)}${esc(T(`riskcolour.${p}`))}</span>`).join("") + `<span><svg width="13" height="13"><circle cx="6.5" cy="6.5" r="5" fill="none" stroke="var(--p1)" stroke-width="2"/></svg>${esc(T("risk.ring"))}</span>`;
    const layers = A.el("div", { class: "layers hidden", role: "group", "aria-label": T("risk.layers") }, ["alarms", "risk"].map((name) => `<button class="mini" data-layer="${name}">${esc(T(`risk.layer_${name}`))}</button>`).join(""));
    node.append(layers);
    const dress = () => { put(legend, risky() ? riskLegend : alarmLegend); for (const b of layers.children) { cls(b, "on", b.dataset.layer === layer); b.setAttribute("aria-pressed", b.dataset.layer === layer); } };
    layers.onclick = (event) => { const b = event.target.closest("[data-layer]"); if (b) { layer = b.dataset.layer; dress(); draw(); } };
    dress();
    const controls = A.el("div", { class: "ctl" }, `<button title="${esc(T("map.zoom_in"))}" aria-label="${esc(T("map.zoom_in"))}">+</button><button title="${esc(T("map.zoom_out"))}" aria-label="${esc(T("map.zoom_out"))}">−</button><button title="${esc(T("map.fit"))}" aria-label="${esc(T("map.fit"))}">⤢</button>`);
    node.append(controls);
    const plant = await A.loadPlant(), map = plant.map;
    if (!map.zones.length) { canvas.remove(); node.append(A.el("div", { class: "empty" }, `<b>${esc(T("map.none"))}</b><span>${esc(T("map.none_hint"))}</span>`)); return; }
    const context = canvas.getContext("2d");
    const dots = plant.points.filter((p) => p.xy).map((p) => ({ number: p.number, x: p.xy[0], y: p.xy[1], p }));
    // Units and areas are outlined in their worst alarm; an enterprise's outline would always be lit.
    const isArea = (path) => path.split("/").length === 2 && plant.placeByPath.has(path);
    const unitZones = map.zones.filter((z) => z.rings.length && (plant.unitByPath.has(z.path) || isArea(z.path)));
    const areas = new Set(unitZones.filter((z) => isArea(z.path)).map((z) => z.path));
    const nested = (zone) => areas.has(zone.path.split("/").slice(0, -1).join("/"));
    const nameOf = (path) => named(plant.unitByPath.get(path) || plant.placeByPath.get(path)) || path.split("/").pop();
    let scale = 1, ox = 0, oy = 0, colors = {}, dirty = true, hover = null, focus = -1, blinkOn = true, worst = new Map(), dotState = new Map(), userMoved = false;
    const X = (x) => ox + x * scale, Y = (y) => oy - y * scale;
    const [x0, y0, x1, y1] = map.bounds;
    function fit() {
      const w = node.clientWidth, h = node.clientHeight, pad = 16, top = plant.wind ? 46 : 22, bottom = 44;
      scale = Math.min((w - 2 * pad) / (x1 - x0 || 1), (h - top - bottom) / (y1 - y0 || 1));
      ox = (w - (x1 - x0) * scale) / 2 - x0 * scale; oy = top + ((h - top - bottom) - (y1 - y0) * scale) / 2 + y1 * scale;
      userMoved = false; draw();
    }
    const readColors = () => { for (const name of ["map-bg", "map-unit", "map-unit-line", "map-solid", "map-dot", "map-water", "map-road", "low", "text", "high", "line", "panel", "p1", "p2", "p3", "p4", "p1-tint", "p2-tint", "p3-tint", "p4-tint", "p1-on", "p2-on", "p3-on", "p4-on", "accent", "soft", "hatch"]) colors[name] = css(name); };
    function state() {
      worst = new Map(); dotState = new Map();
      for (const row of A.sorted()) {
        const score = (row.active ? 0 : 10) + row.priority, parts = row.path.split("/");
        for (const depth of [2, 3]) {
          if (parts.length < depth) continue;
          const place = parts.slice(0, depth).join("/"), seen = worst.get(place);
          if (!seen || score < seen.score) worst.set(place, { score, priority: row.priority, active: row.active, n: (seen?.n || 0) + 1 });
          else seen.n++;
        }
        const dot = dotState.get(row.point);
        if (!dot || score < dot.score) dotState.set(row.point, { score, priority: row.priority, active: row.active, unack: !row.acknowledged });
      }
    }
    const trace = (rings) => { context.beginPath(); for (const ring of rings) { ring.forEach(([x, y], i) => (i ? context.lineTo(X(x), Y(y)) : context.moveTo(X(x), Y(y)))); context.closePath(); } };
    const STRUCTURES = /^(building|structure|control|dike|rack|pond|yard)$/;
    const placed = new Set(unitZones), structures = map.zones.filter((z) => !placed.has(z) && STRUCTURES.test(z.kind) && z.rings.length);
    const ground = map.zones.filter((z) => !placed.has(z) && !structures.includes(z));
    function drawGround(zone) {
      if (zone.line) {
        context.beginPath(); zone.line.forEach(([x, y], i) => (i ? context.lineTo(X(x), Y(y)) : context.moveTo(X(x), Y(y))));
        context.lineWidth = zone.kind === "road" ? Math.max(3, 9 * scale) : 1.5; context.strokeStyle = zone.kind === "road" ? colors["map-road"] : zone.kind === "water" ? colors["map-water"] : colors["map-unit-line"]; context.setLineDash([]); context.stroke(); return;
      }
      trace(zone.rings);
      if (zone.kind === "water" || zone.kind === "road") { context.fillStyle = colors[`map-${zone.kind}`]; context.fill(); return; }
      context.setLineDash([5, 4]); context.lineWidth = 1; context.strokeStyle = colors["map-unit-line"]; context.stroke(); context.setLineDash([]);
    }
    function drawStructure(zone) {
      trace(zone.rings);
      if (/^(building|structure|control)$/.test(zone.kind)) { context.fillStyle = colors["map-solid"]; context.fill(); }
      context.setLineDash(zone.kind === "dike" ? [3, 3] : []); context.lineWidth = 0.8; context.strokeStyle = colors["map-unit-line"]; context.stroke(); context.setLineDash([]);
    }
    function drawPlace(zone) {
      const bad = worst.get(zone.path), inner = nested(zone), lit = bad && bad.active && bad.priority <= 2 && !areas.has(zone.path);
      trace(zone.rings);
      if (!inner || lit) { context.fillStyle = lit ? colors[`p${bad.priority}-tint`] : colors["map-unit"]; context.fill(); }
      context.setLineDash(bad && !bad.active ? [4, 3] : []); context.lineWidth = bad ? (inner ? 1.5 : 2) : hover === zone ? 1.6 : inner ? 0.7 : 1; context.strokeStyle = bad ? colors[`p${bad.priority}`] : hover === zone ? colors.accent : colors["map-unit-line"]; context.stroke(); context.setLineDash([]);
    }
    /* The layer of risk: a place is filled in the colour of its live risk, a red one ringed so that nothing hides it. */
    function fillRisk(zone) {
      const risk = riskOf(zone.path), inner = nested(zone), area = areas.has(zone.path);
      trace(zone.rings);
      if (!inner) { context.fillStyle = colors["map-unit"]; context.fill(); }
      if (risk && !area) { context.fillStyle = colors[`p${risk[0]}-tint`]; context.fill(); }
      context.lineWidth = node._chosen === zone.path ? 2.4 : hover === zone ? 1.8 : 1; context.strokeStyle = node._chosen === zone.path || hover === zone ? colors.accent : risk ? colors[`p${risk[0]}`] : colors["map-unit-line"]; context.stroke();
    }
    function drawRisk() {
      context.textBaseline = "middle"; context.textAlign = "left";
      for (const zone of [...unitZones].sort((a, b) => (riskOf(b.path)?.[0] ?? 9) - (riskOf(a.path)?.[0] ?? 9))) { // gravest on top
        const risk = riskOf(zone.path); if (!risk || areas.has(zone.path)) continue;
        const [bx0, by0, bx1, by1] = zone.box, cx = (X(bx0) + X(bx1)) / 2, cy = (Y(by0) + Y(by1)) / 2, across = (bx1 - bx0) * scale, down = (by1 - by0) * scale, small = across < 60 || down < 26;
        const text = String(Math.round(risk[1])), size = small ? 11 : 15;
        if ((across < 48 || down < 18) && risk[0] !== 1) { // no room for the figure: the shape alone
          const r = Math.max(2.5, Math.min(5, across / 3, down / 3));
          context.beginPath(); SHAPES[risk[0]](context, cx, cy, r); context.fillStyle = colors[`p${risk[0]}`]; context.fill(); continue;
        }
        context.font = `600 ${size}px ${css("mono")}`;
        const width = context.measureText(text).width + size + 16, height = size + 9;
        context.beginPath(); context.rect(cx - width / 2, cy - height / 2, width, height); context.fillStyle = colors.panel; context.fill(); context.lineWidth = 1.2; context.strokeStyle = colors[`p${risk[0]}`]; context.stroke();
        context.beginPath(); SHAPES[risk[0]](context, cx - width / 2 + 6 + size / 2, cy, size / 2.4); context.fillStyle = colors[`p${risk[0]}`]; context.fill();
        context.fillStyle = colors.high; context.fillText(text, cx - width / 2 + size + 11, cy + 1);
      }
      for (const zone of unitZones) {
        const risk = riskOf(zone.path); if (!risk || risk[0] !== 1 || areas.has(zone.path)) continue;
        const [bx0, by0, bx1, by1] = zone.box, w = Math.max((bx1 - bx0) * scale, 52) + 8, h = Math.max((by1 - by0) * scale, 20) + 8; // around the figure of a small one too
        context.lineWidth = 3; context.strokeStyle = colors.p1; context.strokeRect((X(bx0) + X(bx1)) / 2 - w / 2, (Y(by0) + Y(by1)) / 2 - h / 2, w, h);
      }
      context.textBaseline = "alphabetic";
    }
    function drawZones() {
      ground.forEach(drawGround);
      if (risky()) { for (const zone of unitZones) if (!nested(zone)) fillRisk(zone); structures.forEach(drawStructure); for (const zone of unitZones) if (nested(zone)) fillRisk(zone); return; }
      for (const zone of unitZones) if (!nested(zone)) drawPlace(zone);
      structures.forEach(drawStructure);
      for (const zone of unitZones) if (nested(zone)) drawPlace(zone);
    }
    function drawDots() {
      // 6 px at rest; smaller only where thousands share the picture.
      const room = Math.sqrt(((x1 - x0) * (y1 - y0) * scale * scale) / Math.max(1, dots.length)), radius = Math.min(3, Math.max(1.3, room / 7));
      const abnormal = [];
      if (risky()) context.globalAlpha = 0.4;
      context.fillStyle = colors["map-dot"];
      context.beginPath();
      for (const dot of dots) {
        const s = risky() ? null : dotState.get(dot.number), q = risky() ? undefined : A.quality.get(dot.number);
        if (s || (q !== undefined && q >= 0x40)) { abnormal.push([dot, s, q]); continue; }
        const x = X(dot.x), y = Y(dot.y), r = radius;
        context.moveTo(x + r, y); context.arc(x, y, r, 0, 7);
      }
      context.fill();
      context.globalAlpha = 1;
      abnormal.sort((a, b) => (b[1]?.score ?? 99) - (a[1]?.score ?? 99));
      for (const [dot, s, q] of abnormal) {
        const x = X(dot.x), y = Y(dot.y);
        if (!s) { context.strokeStyle = colors.low; context.lineWidth = 1.3; context.beginPath(); context.arc(x, y, 3.8, 0, 7); if (badClass(q)) { context.moveTo(x - 2.8, y + 2.8); context.lineTo(x + 2.8, y - 2.8); } context.stroke(); continue; }
        const color = colors[`p${s.priority}`];
        context.beginPath(); SHAPES[s.priority](context, x, y, s.priority === 1 ? 6.5 : 6);
        if (s.active && (blinkOn || !(s.unack && s.priority === 1))) { context.fillStyle = color; context.fill(); }
        else { context.fillStyle = colors["map-bg"]; context.fill(); }
        context.lineWidth = 1.5; context.strokeStyle = color; context.stroke();
      }
    }
    function drawLabels() {
      context.font = `12px ${css("sans")}`; context.textBaseline = "alphabetic";
      for (const zone of unitZones) {
        const [bx0, , bx1, by1] = zone.box, width = (bx1 - bx0) * scale, area = areas.has(zone.path);
        if (width < (nested(zone) ? 70 : 34)) continue;
        const bad = risky() ? null : worst.get(zone.path), x = X(bx0) + (area ? 4 : 0), y = area ? Y(by1) + 14 : Y(by1) - (risky() && riskOf(zone.path)?.[0] === 1 ? 9 : 4);
        let text = nameOf(zone.path);
        while (text.length > 3 && context.measureText(text).width > width - (bad || (area && risky()) ? 42 : 8)) text = text.slice(0, -2) + "…";
        if (area) { context.globalAlpha = 0.8; context.fillStyle = colors["map-unit"]; context.fillRect(x - 2, y - 12, context.measureText(text).width + 4, 15); context.globalAlpha = 1; }
        context.fillStyle = bad ? colors.high : area && !bad ? colors.low : colors.text;
        context.fillText(text, x, y);
        const own = area && risky() && riskOf(zone.path);
        if (own) {
          const right = X(bx1) - 9, figure = String(Math.round(own[1]));
          context.fillStyle = colors.high; context.textAlign = "right"; context.fillText(figure, right + 4, y); context.textAlign = "left";
          context.beginPath(); SHAPES[own[0]](context, right - context.measureText(figure).width - 5, y - 4, 4.5); context.fillStyle = colors[`p${own[0]}`]; context.fill();
        }
        if (bad) {
          const right = X(bx1) - (area ? 11 : 7);
          context.beginPath(); SHAPES[bad.priority](context, right - 14, y - 4, 4.5);
          if (bad.active) { context.fillStyle = colors[`p${bad.priority}`]; context.fill(); } else { context.lineWidth = 1.3; context.strokeStyle = colors[`p${bad.priority}`]; context.stroke(); }
          context.fillStyle = colors.high; context.textAlign = "right"; context.fillText(String(bad.n), right + 6, y); context.textAlign = "left";
        }
      }
      context.fillStyle = colors.low; context.font = `11px ${css("sans")}`;
      for (const zone of map.zones) if (!plant.unitByPath.has(zone.path) && !areas.has(zone.path) && zone.rings.length && plant.placeByPath.has(zone.path) && (zone.box[2] - zone.box[0]) * scale > 120) context.fillText(named(plant.placeByPath.get(zone.path)), X(zone.box[0]) + 5, Y(zone.box[1]) - 5);
    }
    function drawFurniture() {
      const h = node.clientHeight, steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
      const length = steps.filter((s) => s * scale <= 130).pop() || 1, w = length * scale, x = 12, y = h - 16;
      context.strokeStyle = colors.text; context.lineWidth = 1.2; context.beginPath(); context.moveTo(x, y - 6); context.lineTo(x, y); context.lineTo(x + w, y); context.lineTo(x + w, y - 6); context.stroke();
      context.fillStyle = colors.text; context.font = `11px ${css("mono")}`; context.fillText(map.metres ? (length >= 1000 ? `${length / 1000} km` : `${length} m`) : "", x + 4, y - 4);
      context.beginPath(); context.moveTo(x + w + 22, y - 14); context.lineTo(x + w + 27, y); context.lineTo(x + w + 22, y - 3); context.lineTo(x + w + 17, y); context.closePath(); context.fillStyle = colors.low; context.fill(); context.fillText("N", x + w + 18.5, y - 17);
      const speed = plant.wind && valueOf(plant.wind.speed), direction = plant.wind && valueOf(plant.wind.direction);
      if (speed && direction && !badClass(direction.q) && direction.v !== null) {
        const cx = 24, cy = 21, a = ((direction.v + 180) * Math.PI) / 180;
        context.save(); context.translate(cx, cy); context.rotate(a); context.beginPath(); context.moveTo(0, -13); context.lineTo(7, 9); context.lineTo(0, 4); context.lineTo(-7, 9); context.closePath(); context.fillStyle = colors.text; context.fill(); context.restore();
        context.font = `12px ${css("sans")}`; context.fillStyle = colors.text;
        context.fillText(`${T("map.wind")} ${CARDINALS[Math.round(direction.v / 22.5) % 16]} ${direction.v.toFixed(0)}° · ${speed.v === null ? "–" : speed.v.toFixed(1)} ${plant.byNumber.get(plant.wind.speed)?.unit || "m/s"}`, 42, 25);
      }
    }
    function draw() {
      dirty = true;
      requestAnimationFrame(() => {
        if (!dirty || !node.isConnected) return;
        dirty = false;
        const ratio = devicePixelRatio || 1, w = node.clientWidth, h = node.clientHeight;
        if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
        context.setTransform(ratio, 0, 0, ratio, 0, 0); context.clearRect(0, 0, w, h);
        drawZones(); drawDots(); drawLabels(); if (risky()) drawRisk(); drawFurniture();
      });
    }
    function hit(px, py) {
      let best = null, distance = 11 * 11;
      if (!risky()) for (const dot of dots) { const dx = X(dot.x) - px, dy = Y(dot.y) - py, d = dx * dx + dy * dy - (dotState.has(dot.number) ? 40 : 0); if (d < distance) { distance = d; best = dot; } }
      if (best) return { dot: best };
      const mx = (px - ox) / scale, my = (oy - py) / scale;
      for (const zone of [...unitZones].reverse()) if (inside(zone.rings, mx, my)) return { zone }; // smallest first
      return null;
    }
    const where = (thing) => (thing.dot ? `/plant?point=${encodeURIComponent(thing.dot.p.path)}` : `/plant?unit=${encodeURIComponent(thing.zone.path)}`);
    const go = (thing) => { if (thing.zone && risky()) { if (A.risk?.choose) { A.risk.choose(thing.zone.path); return; } location.href = `/risk?at=${encodeURIComponent(thing.zone.path)}`; return; } location.href = where(thing); };
    function showTip(thing, x, y) {
      if (!thing) { tip.style.display = "none"; return; }
      let html;
      if (thing.dot) {
        const p = thing.dot.p, value = valueOf(p.number), rows = A.sorted().filter((r) => r.point === p.number);
        html = `<b>${esc(named(p) || p.path.split("/").pop())}</b> <span class="low">${esc(p.tag)}</span><br><span class="num hi">${pointValue(p, value)}</span> ${esc(p.unit)} <span class="low">${esc(A.qualityText(value ? value.q : A.quality.get(p.number)))}</span><br><span class="low">${esc(unitName(p.path))}</span>` +
          rows.slice(0, 4).map((r) => `<br>${shape(r.priority, 12, !r.active)} ${esc(T(`kind.${r.kind}`))} ${esc(A.stateText(r))}`).join("");
      } else {
        const bad = worst.get(thing.zone.path), u = plant.unitByPath.get(thing.zone.path) || plant.placeByPath.get(thing.zone.path);
        html = `<b>${esc(nameOf(thing.zone.path))}</b><br><span class="low">${esc(u.path)}</span>${u.substance ? `<br>${esc(T("map.substance"))} ${esc(T(`substance.${u.substance}`) === `substance.${u.substance}` ? u.substance : T(`substance.${u.substance}`))}` : ""}<br>${esc(bad ? T("map.unit_alarms", { n: bad.n }) : T("map.unit_calm"))}`;
        const risk = riskOf(thing.zone.path);
        if (risk) html += `<br>${shape(risk[0], 12)} ${esc(T("risk.index"))} <span class="num hi">${risk[1].toFixed(1)}</span> ${esc(T(`riskcolour.${risk[0]}`))}`;
      }
      put(tip, html); tip.style.display = "block";
      tip.style.left = `${Math.min(x + 14, node.clientWidth - tip.offsetWidth - 6)}px`; tip.style.top = `${Math.min(y + 14, node.clientHeight - tip.offsetHeight - 6)}px`;
    }
    const zoom = (factor, px, py) => { const next = Math.min(60, Math.max(0.02, scale * factor)); ox = px - ((px - ox) * next) / scale; oy = py - ((py - oy) * next) / scale; scale = next; userMoved = true; draw(); };
    canvas.addEventListener("wheel", (e) => { e.preventDefault(); const box = canvas.getBoundingClientRect(); zoom(Math.exp(-e.deltaY * 0.0015), e.clientX - box.left, e.clientY - box.top); }, { passive: false });
    let drag = null;
    canvas.addEventListener("pointerdown", (e) => { drag = { x: e.clientX, y: e.clientY, ox, oy, moved: false }; canvas.setPointerCapture(e.pointerId); });
    canvas.addEventListener("pointermove", (e) => {
      const box = canvas.getBoundingClientRect(), px = e.clientX - box.left, py = e.clientY - box.top;
      if (drag) { const dx = e.clientX - drag.x, dy = e.clientY - drag.y; if (Math.hypot(dx, dy) > 4) drag.moved = true; if (drag.moved) { ox = drag.ox + dx; oy = drag.oy + dy; userMoved = true; draw(); } return; }
      const thing = hit(px, py);
      tipThing = thing; tipAt = [px, py];
      if ((thing?.zone || null) !== hover) { hover = thing?.zone || null; draw(); }
      canvas.style.cursor = thing ? "pointer" : "grab";
      if (thing?.dot) A.want();
      showTip(thing, px, py);
    });
    let tipThing = null, tipAt = [0, 0];
    canvas.addEventListener("pointerup", (e) => { const was = drag; drag = null; if (was && !was.moved) { const box = canvas.getBoundingClientRect(), thing = hit(e.clientX - box.left, e.clientY - box.top); if (thing) go(thing); } });
    canvas.addEventListener("pointerleave", () => { hover = null; tipThing = null; showTip(null); draw(); });
    canvas.addEventListener("keydown", (e) => {
      const step = 40, w = node.clientWidth, h = node.clientHeight;
      if (e.key === "+" || e.key === "=") zoom(1.25, w / 2, h / 2); else if (e.key === "-") zoom(0.8, w / 2, h / 2); else if (e.key === "0") fit();
      else if (e.key === "ArrowLeft") { ox += step; draw(); } else if (e.key === "ArrowRight") { ox -= step; draw(); } else if (e.key === "ArrowUp") { oy += step; draw(); } else if (e.key === "ArrowDown") { oy -= step; draw(); }
      else if (e.key === "n" || e.key === "N") { // the next unit with alarms, so that the map can be used without a mouse
        const list = risky() ? unitZones.filter((z) => riskOf(z.path) && !areas.has(z.path)).sort((a, b) => riskOf(b.path)[1] - riskOf(a.path)[1]) : unitZones.filter((z) => worst.has(z.path)); if (list.length) { focus = (focus + 1) % list.length; const z = list[focus]; hover = z; tipThing = { zone: z }; tipAt = [X(z.box[0]), Y(z.box[3])]; showTip(tipThing, ...tipAt); draw(); }
      } else if (e.key === "Enter" && tipThing) go(tipThing);
      else if (e.key === "r" || e.key === "R") { layer = risky() ? "alarms" : "risk"; dress(); draw(); }
      else return;
      e.preventDefault();
    });
    const [plus, minus, all] = controls.children;
    plus.onclick = () => zoom(1.35, node.clientWidth / 2, node.clientHeight / 2); minus.onclick = () => zoom(1 / 1.35, node.clientWidth / 2, node.clientHeight / 2); all.onclick = fit;
    new ResizeObserver(() => (userMoved ? draw() : fit())).observe(node);
    readColors(); state(); fit();
    let drawn = "", painted = 0;
    node._draw = draw;
    A.register({
      node, want: () => [...(plant.wind ? [plant.wind.speed, plant.wind.direction] : []), ...(tipThing?.dot ? [tipThing.dot.number] : [])],
      frame(frame) { if (!frame || frame.full || frame.up?.length || frame.gone?.length || frame.q?.length) { state(); draw(); } cls(layers, "hidden", !A.warn?.col.size); if (A.warn && A.warn.painted !== painted) { painted = A.warn.painted; if (risky()) draw(); } if (plant.wind) { const d = valueOf(plant.wind.direction), s = valueOf(plant.wind.speed), now = `${d?.v} ${s?.v}`; if (now !== drawn) { drawn = now; draw(); } } if (tipThing) showTip(tipThing, ...tipAt); },
      tick() { let red = false; for (const d of dotState.values()) if (d.priority === 1 && d.unack && d.active) red = true; if (red) { blinkOn = !blinkOn; draw(); } else if (!blinkOn) { blinkOn = true; draw(); } },
    });
    node.dataset.ready = dots.length;
    A.map = { locate: (number) => { const dot = dots.find((d) => d.number === number); return dot && [X(dot.x), Y(dot.y)]; }, unit: (path) => { const z = unitZones.find((u) => u.path === path); return z && [(X(z.box[0]) + X(z.box[2])) / 2, (Y(z.box[1]) + Y(z.box[3])) / 2]; } };
  }

  /* ---- overview: figures, card of the worst event, ranking ----------------------------------------------------- */
  function kpis(node) {
    const set = (key, html, tone) => { const tile = $(`[data-kpi="${key}"]`, node); if (!tile) return; put($(".v", tile), html); tile.className = `kpi ${tone || ""}`; };
    const small = (text) => `<small>${esc(text)}</small>`;
    A.register({ node, frame() {
      const c = A.counts, k = A.kpi;
      if (!c) return;
      const worstUnack = c.unack.findIndex((n) => n > 0) + 1;
      set("unacknowledged", `${c.unacknowledged}${small(T("kpi.of_standing", { n: c.standing }))}`, worstUnack === 1 ? "bad" : worstUnack ? "warn" : "");
      const active = c.active.reduce((a, b) => a + b, 0);
      set("active", `${active}${small(T("kpi.oldest", { age: c.oldest ? A.span(A.now() - c.oldest) : "–" }))}`, c.active[0] ? "bad" : c.active[1] ? "warn2" : "");
      set("shelved", `${c.shelved ?? "–"}${small(T("kpi.suppressed", { n: c.suppressed ?? "–" }))}`, "");
      if (k.points) set("points", `${k.points.good}${small(`/ ${k.points.total}`)}`, "");
      if (k.points) set("bad", `${k.points.bad}${small(T("kpi.stale", { n: k.points.stale }))}`, k.points.bad > 0.05 * k.points.total ? "warn2" : k.points.bad ? "warn" : "");
      if (k.connectors) set("connectors", `${k.connectors.up ?? "–"}${small(`/ ${k.connectors.total}`)}`, k.connectors.up !== null && k.connectors.up < k.connectors.total ? "warn2" : "");
      if (k.rate != null) set("rate", `${k.rate}${small(T(k.rate_partial ? "kpi.since_start" : "kpi.per_10min"))}`, k.rate > 10 ? "bad" : k.rate > 2 ? "warn" : "");
      if (k.delay != null) set("delay", k.delay < 1000 ? `${Math.round(k.delay)}${small("ms")}` : `${(k.delay / 1000).toFixed(1)}${small("s")}`, k.delay > 5000 ? "warn2" : "");
    } });
  }
  function eventCard(node) {
    let row = null;
    A.register({ node, want: () => (row ? [row.point] : []), frame() {
      if (!A.counts) return;
      const before = row && row.alarm, rows = A.sorted();
      row = rows[0] && rows[0].active ? rows[0] : null;
      if ((row && row.alarm) !== before) A.want();
      if (!row) { put(node, `<div class="calm">${esc(rows.length ? T("card.only_returned", { n: rows.length }) : T("card.calm"))}</div><h4 class="low" style="margin:0;font-size:12px">${esc(T("card.next"))}</h4><ul class="steps">${["card.step_trends", "card.step_shift", "card.step_bypass"].map((k, i) => `<li><a href="${["/trends", "/shift", "/registers"][i]}">${esc(T(k))}</a></li>`).join("")}</ul>`); return; }
      const definition = A.plant?.alarmById.get(row.alarm) || {}, value = valueOf(row.point), left = row.time_to_act ? row.raised + row.time_to_act - A.now() : null;
      const steps = (definition.action || "").split(/\n|(?<=[。；;])\s*(?=\S)/).map((s) => s.trim()).filter(Boolean);
      put(node, `<div class="evt p${row.priority}"><h3>${shape(row.priority, 15)}<span>${esc(A.rowTitle(row, " · "))}</span></h3><div class="bar" style="justify-content:space-between;gap:2px 8px"><span class="big">${pointValue(pointOf(row.point), value || { v: row.value })}<small>${esc(row.unit)}</small></span><span class="pill">${esc(A.stateText(row))}</span></div>` +
        `<dl class="kv"><dt>${esc(T("col.tag"))}</dt><dd>${esc(pointOf(row.point)?.tag || row.path.split("/").pop())}</dd><dt>${esc(T("col.unit_name"))}</dt><dd>${esc(unitName(row.path))}</dd>${row.limit != null ? `<dt>${esc(T("col.limit"))}</dt><dd class="num">${esc(A.limitOf(row))}</dd>` : ""}<dt>${esc(T("col.raised"))}</dt><dd class="num">${A.moment(row.raised)}</dd>` +
        (left !== null ? `<dt>${esc(T(left >= 0 ? "guide.left" : "guide.over"))}</dt><dd class="num">${A.span(Math.abs(left))}</dd>` : "") +
        (row.acknowledged && row.who ? `<dt>${esc(T("guide.by"))}</dt><dd>${esc(row.who)}</dd>` : "") + `</dl><div class="bar" style="margin-top:9px">${A.ackButton(row)}<a class="btn" href="/alarms?alarm=${encodeURIComponent(row.alarm)}">${esc(T("act.guide"))}</a></div></div>` +
        (steps.length ? `<div><div class="low" style="font-size:12px;margin-bottom:2px">${esc(T("guide.action"))}</div><ol class="steps">${steps.map((s) => `<li>${esc(s)}</li>`).join("")}</ol></div>` : ""));
    } });
  }
  function ranking(node) {
    A.register({ node, frame() {
      if (!A.plant || !A.counts) return;
      const units = new Map();
      for (const row of A.sorted()) {
        const path = row.path.split("/").slice(0, 3).join("/"), u = units.get(path) || { path, n: [0, 0, 0, 0], active: [0, 0, 0, 0] };
        u.n[row.priority - 1]++; if (row.active) u.active[row.priority - 1]++;
        units.set(path, u);
      }
      const weight = (u) => u.active.reduce((sum, n, i) => sum + n * 10 ** (2 * (3 - i)), 0) * 1e4 + u.n.reduce((sum, n, i) => sum + n * 10 ** (3 - i), 0);
      const list = [...units.values()].sort((a, b) => weight(b) - weight(a)).slice(0, 12), most = Math.max(1, ...list.map((u) => u.n.reduce((a, b) => a + b, 0)));
      if (!list.length) { put(node, `<div class="empty"><b>${esc(T("rank.none"))}</b><span>${esc(T("rank.none_hint", { n: A.plant.units.length }))}</span></div>`); return; }
      put(node, list.map((u) => {
        const total = u.n.reduce((a, b) => a + b, 0), worst = u.n.findIndex((n) => n) + 1, active = u.active.findIndex((n) => n) + 1;
        return `<a href="/plant?unit=${encodeURIComponent(u.path)}"><span class="clip">${esc(unitName(u.path))}</span><span class="bar">${u.n.map((n, i) => (n ? `<i style="width:${(n / most) * 100}%;background:${u.active[i] ? `var(--p${i + 1})` : "var(--trend)"}"></i>` : "")).join("")}</span><span class="n"><span>${shape(active || worst, 12, !active)}</span>${total}</span></a>`;
      }).join(""));
    }, plant() { this.frame(); } });
    A.loadPlant().then(() => A.want());
  }
  async function trends4(node) {
    const plant = await A.loadPlant();
    let pins = [];
    try { pins = JSON.parse(localStorage.getItem("anlan.pins") || "[]"); } catch { pins = []; }
    pins = pins.filter((number) => plant.byNumber.has(number));
    const numbers = [...pins, ...plant.key.filter((number) => !pins.includes(number))].slice(0, 4);
    if (!numbers.length) { node.append(A.el("div", { class: "empty", style: "grid-column:1/3" }, `<b>${esc(T("trends.none"))}</b><span>${esc(T("trends.none_hint"))}</span>`)); return; }
    for (const number of numbers) { const cell = A.el("a", { class: "spark" }); node.append(cell); A.spark(cell, number, 10); }
  }
  Object.assign(A.components, { map: siteMap, kpis, card: eventCard, rank: ranking, trends4 });
})();
