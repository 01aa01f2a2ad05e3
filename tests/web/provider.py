"""An OpenID provider for tests: real sockets, code flow with PKCE, RS256 identity tokens."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from typing import Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.conftest import free_port


class Provider:
    """Signs everybody in who asks; ``claims`` are what it then says of them, ``wrong`` what it does wrong."""

    def __init__(self) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.key = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"})
        self.claims: dict[str, Any] = {}
        self.wrong: dict[str, Any] = {}
        self.signing = self.key
        self._codes: dict[str, dict[str, str]] = {}
        app = FastAPI()
        app.get("/.well-known/openid-configuration")(self._describe)
        app.get("/authorize")(self._authorize)
        app.post("/token")(self._token)
        app.get("/keys")(self._keys)
        self._server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    async def _describe(self) -> dict[str, str]:
        endpoints = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        issuer = self.wrong.get("issuer", self.issuer)
        return {"issuer": issuer} | {name: f"{self.issuer}/{path}" for name, path in endpoints.items()}

    async def _authorize(self, request: Request) -> RedirectResponse:
        query = dict(request.query_params)
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}")

    async def _token(
        self, code: str = Form(), code_verifier: str = Form(), client_id: str = Form(), redirect_uri: str = Form()
    ) -> JSONResponse:
        asked = self._codes.pop(code, None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != redirect_uri:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": client_id, "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        text = jwt.encode({"alg": "RS256", "kid": "k1"}, claims | self.claims | self.wrong, self.signing)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": text})

    async def _keys(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}
