"""HTTP over a Unix socket or TCP, with connections that are kept and used again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import tempfile
import threading
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from .errors import InputError, ProtocolError, UnavailableError, of_response

MOST_JSON = 16 << 20  # bytes of a response that is JSON
CONNECT_TIMEOUT = 10.0  # seconds


def default_socket() -> str:
    """The socket of the user's own daemon if it is there, else that of the machine's."""
    folder = os.environ.get("RUNTIME_DIRECTORY")
    if not folder:
        base = os.environ.get("XDG_RUNTIME_DIR")
        folder = os.path.join(base, "opud") if base else os.path.join(tempfile.gettempdir(), f"opud-{os.getuid()}")
    own = os.path.join(folder, "opud.sock")
    return own if os.path.exists(own) else "/run/opud/opud.sock"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float):
        super().__init__("opud", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            s.settimeout(self.timeout)
            s.connect(self._path)
        except BaseException:
            s.close()
            raise
        self.sock = s


class Server:
    """A daemon at an address. Safe for use by several threads: each request has a
    connection of its own while it lasts."""

    def __init__(self, address: Optional[str], token: Optional[str], timeout: float):
        self.address = address or default_socket()
        self.token = token
        self.timeout = timeout
        self._prefix = ""
        self._parse()
        self._lock = threading.Lock()
        self._idle: List[http.client.HTTPConnection] = []
        self._pid = os.getpid()

    def _parse(self) -> None:
        address = self.address
        self._path = None
        if address.startswith("unix://"):
            self._path = address[len("unix://"):]
        elif os.path.isabs(address):
            self._path = address
        if self._path is not None:
            return
        url = urlsplit(address)
        try:
            port = url.port
        except ValueError:
            port = -1
        if url.scheme not in ("http", "https") or not url.hostname or port == -1 or url.username:
            raise InputError(
                f"cannot use the address {address!r}: it must be the path of a socket, "
                "unix:///path, http://host:port or https://host:port"
            )
        self._secure, self._host, self._port = url.scheme == "https", url.hostname, port
        self._prefix = url.path.rstrip("/")

    @property
    def local(self) -> bool:
        """Whether bytes stay on this machine, as far as the address tells."""
        return self._path is not None or self._host in ("localhost", "127.0.0.1", "::1")

    def _new(self) -> http.client.HTTPConnection:
        """A connection that is not connected yet."""
        if self._path is not None:
            return _UnixConnection(self._path, CONNECT_TIMEOUT)
        if self._secure:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT_TIMEOUT, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT)

    def _take(self) -> Tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._pid != os.getpid():  # connections of the parent are not ours to use
                self._idle, self._pid = [], os.getpid()
            if self._idle:
                return self._idle.pop(), True
        return self._new(), False

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.append(connection)

    def close(self) -> None:
        """Closes connections that are not in use. Further requests make new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextlib.contextmanager
    def request(
        self, method: str, path: str, body: Sequence[Any] = (), headers: Optional[Dict[str, str]] = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Sends a request whose body is the given buffers one after the other, and yields
        its response if it is 200, which the caller reads to its end. Raises the error
        that the server gave, or UnavailableError if there is no answer."""
        connection, response = self._exchange(method, path, body, headers or {})
        try:
            if response.status != 200:
                raise _refused(response)
            yield response
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            raise UnavailableError(f"cannot read the answer of {self.address}: {e!r}") from e
        finally:  # a connection whose response was not read to its end is of no more use
            if response.isclosed() and connection.sock is not None:
                self._keep(connection)
            else:
                connection.close()

    def _exchange(
        self, method: str, path: str, body: Sequence[Any], headers: Dict[str, str]
    ) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        while True:
            connection, used = self._take()
            try:
                if not used:
                    connection.connect()
                    connection.sock.settimeout(self.timeout)
                connection.putrequest(method, self._prefix + path, skip_accept_encoding=True)
                if self.token:
                    connection.putheader("Authorization", "Bearer " + self.token)
                for name, value in headers.items():
                    connection.putheader(name, value)
                if method != "GET":
                    connection.putheader("Content-Length", str(sum(memoryview(b).nbytes for b in body)))
                connection.endheaders()
                with contextlib.suppress(ConnectionError):  # who refuses a request early has said why
                    for part in body:
                        connection.send(part)
                return connection, connection.getresponse()
            except (OSError, http.client.HTTPException) as e:
                connection.close()
                if used and not isinstance(e, socket.timeout):  # the server has closed it since: that is no failure
                    continue
                if isinstance(e, (FileNotFoundError, ConnectionRefusedError)):
                    raise UnavailableError(
                        f"cannot reach the OPU at {self.address}: no daemon listens there; start opud, or give its address"
                    ) from e
                raise UnavailableError(f"cannot reach the OPU at {self.address}: {e!r}") from e
            except BaseException:
                connection.close()
                raise

    def json(self, method: str, path: str, value: Any = None) -> Any:
        """Asks for JSON, with JSON if a value is given."""
        body = [] if value is None else [json.dumps(value).encode()]
        with self.request(method, path, body) as response:
            text = response.read(MOST_JSON + 1)
        try:
            return json.loads(text)
        except ValueError as e:
            raise ProtocolError(f"cannot read {path} of {self.address}: {e}") from e


def _refused(response: http.client.HTTPResponse) -> Exception:
    """The error of a response that is not 200; its body is read."""
    text = response.read(64 << 10)
    try:
        answer = json.loads(text)
        error, code = answer.get("error"), answer.get("code")
    except (ValueError, AttributeError):
        error = code = None
    return of_response(response.status, error or "it does not say why", code)
