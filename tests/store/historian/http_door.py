"""A minimal ClickHouse HTTP interface over the embedded engine, in a process of its own.

No package at hand installs a current ClickHouse server, so the server implementation is tested against the same engine
behind the documented HTTP interface (query in the URL or the body, ``param_*``, ``FORMAT``, settings, exception code).
A real server is used instead when ``ANLAN_TEST_CLICKHOUSE`` holds its URL.
"""

from __future__ import annotations

import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

_NOT_SETTINGS = {"query", "database", "user", "password", "default_format", "query_id", "session_id", "role"}
_NOT_SETTINGS |= {"wait_end_of_query", "client_protocol_version", "enable_http_compression", "compress", "decompress"}


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    session: object
    lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        arguments = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        query = arguments.get("query", "")
        if not query:
            head, _, rest = body.partition(b"\n")
            inserting = re.search(rb"(?i)^\s*INSERT .*FORMAT\s+ArrowStream\s*$", head)
            query, body = (head.decode(), rest) if inserting else (body.decode(), b"")
        parameters = {name[6:]: value for name, value in arguments.items() if name.startswith("param_")}
        settings = {
            name: value
            for name, value in arguments.items()
            if name not in _NOT_SETTINGS and not name.startswith("param_")
        }
        try:
            with Door.lock:
                result = self._run(query, body, arguments, parameters, settings)
            status, headers = 200, {}
        except RuntimeError as error:
            result, status = str(error).encode(), 500
            found = re.search(rb"Code: (\d+)", result)
            headers = {"X-ClickHouse-Exception-Code": found.group(1).decode() if found else "0"}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(result)))
        self.send_header("X-ClickHouse-Summary", "{}")
        self.end_headers()
        self.wfile.write(result)

    def _run(
        self, query: str, body: bytes, arguments: dict[str, str], parameters: dict[str, str], settings: dict[str, str]
    ) -> bytes:
        session = Door.session
        session.query(f"USE {arguments.get('database') or 'default'}")  # type: ignore[attr-defined]  # a chDB session
        for name, value in settings.items():
            if name.startswith(("max_", "do_not", "mutations")):
                session.query(f"SET {name} = {value}")  # type: ignore[attr-defined]  # a chDB session
        query = query.strip().rstrip(";")
        insert = re.match(r"(?is)(INSERT INTO .*?)\s+FORMAT\s+ArrowStream\s*$", query)
        if insert:
            rows = pa.ipc.open_stream(body).read_all()
            columns = ", ".join(rows.column_names)
            session.query(f"{insert.group(1)} SELECT {columns} FROM Python(rows)")  # type: ignore[attr-defined]  # a chDB session
            return b""
        form = re.search(r"(?is)\sFORMAT\s+(\w+)\s*$", query)
        name = form.group(1) if form else arguments.get("default_format", "TabSeparated")
        if form:
            query = query[: form.start()]
        result = session.query(query, name, params=parameters)  # type: ignore[attr-defined]  # a chDB session
        return bytes(result.bytes())


def main(path: str, port: int) -> None:
    from chdb.session import Session

    Door.session = Session(path)
    Door.session.query("SET max_threads = 1")
    server = ThreadingHTTPServer(("127.0.0.1", port), Door)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
