/* Sign-in and first password: plain pages before anybody is signed in. */
"use strict";
(() => {
  const words = window.ANLAN_WORDS, form = document.getElementById("form"), err = document.getElementById("err");
  const tell = (text) => { err.textContent = text; err.classList.toggle("on", !!text); };
  const send = (url, body) => fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  // Only addresses of this console are followed after signing in.
  const after = () => { const to = new URLSearchParams(location.search).get("after") || "/"; return /^\/(?![\/\\])/.test(to) ? to : "/"; };
  const oidc = document.getElementById("oidc");
  if (oidc) oidc.href = "/oidc/start?after=" + encodeURIComponent(after());
  document.getElementById("language").addEventListener("click", (event) => { document.cookie = `anlan_lang=${event.target.dataset.value}; path=/; max-age=31536000; samesite=lax`; location.reload(); event.preventDefault(); });
  const reason = (answer, body) => (answer.status === 429 ? words.wait.replace("{seconds}", answer.headers.get("retry-after") || "?") : answer.status === 401 ? words.refused : body.detail || words.unreachable);
  async function signIn() {
    const data = Object.fromEntries(new FormData(form));
    if (!data.code) delete data.code;
    const answer = await send("/api/v1/session", data), body = await answer.json().catch(() => ({}));
    if (answer.ok) { location.href = body.must_change ? "/password" : after(); return; }
    if ((body.type || "").endsWith("second-factor-required")) { document.getElementById("more").classList.remove("hidden"); form.elements.code.focus(); tell(words.code_needed); return; }
    tell(reason(answer, body));
  }
  async function choose() {
    const { current, new: wanted, again } = form.elements;
    if (wanted.value !== again.value) { tell(words.differ); return; }
    const answer = await send("/api/v1/session/password", { current: current.value, new: wanted.value });
    if (answer.ok) { location.href = "/"; return; }
    tell(reason(answer, await answer.json().catch(() => ({}))));
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); tell(""); (form.elements.again ? choose : signIn)().catch(() => tell(words.unreachable)); });
})();
