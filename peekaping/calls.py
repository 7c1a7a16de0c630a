"""What the two SDK clients share: how a call becomes requests, how an answer becomes a value or an error, how one stays
logged in. Plain functions and generators; no socket, no clock of its own.

A call is a generator: it yields a `Request`, is sent the JSON that came back, and returns its result. `resources.py` and
`administration.py` have them all, each once; `client.py` drives them with blocking I/O, `aio.py` on trio.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from typing import IO, Any, NamedTuple, TypeVar

import httpx
import jwt

JsonObject = dict[str, Any]
JsonObjects = list[JsonObject]
T = TypeVar("T")

TIMEOUT_S = 10.0
"""The server answers in milliseconds; the network between may be slow."""
TOKEN_LIFETIME_S = 15 * 60
"""How long an access token lives when it does not say so itself."""
RENEWAL_MARGIN_S = 60
"""A token is replaced this long before it ends, so that no request travels with one that dies on the way."""


class ClientError(Exception):
    """Base of what the SDK raises. It is raised itself for what no request can hold: half a surrogate pair, NaN, no JSON."""


class Unreachable(ClientError):
    """No answer: the server cannot be reached, broke the connection or took too long. Its message says which."""


class ApiError(ClientError):
    """The server refused.

    `status` is the HTTP status, `code` the API's word for it (`VALIDATION_ERROR`), `details` maps wrong fields to their
    messages, `retry_after_s` is how many seconds to wait after a 429 or 503 (None where the server did not say).
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, list[str]] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        texts = [f"{field}: {text}" for field, texts in self.details.items() for text in texts]
        return f"{self.status} {self.code}: {self.message}" + (f" ({'; '.join(texts)})" if texts else "")


class Request(NamedTuple):
    """One HTTP request below `/api/v1`; parameters that are None are left out."""

    method: str
    path: str
    params: Mapping[str, str | int | None] = {}
    json: Any = None
    into: IO[bytes] | None = None
    """Where an answer of 200 goes that is a file, part by part; None where the answer is JSON."""


class Answer(NamedTuple):
    """What came back: `json` is None where the body is empty or no JSON."""

    status: int
    json: Any
    retry_after: str | None


Call = Generator[Request, Any, T]


def api_url(base_url: str) -> str:
    """The address of the API of a server, which may be given with or without `/api/v1`."""
    return base_url.rstrip("/").removesuffix("/api/v1") + "/api/v1"


def websocket_url(base_url: str) -> str:
    """The address of a server's live events."""
    root = api_url(base_url).removesuffix("/api/v1")
    return "ws" + root.removeprefix("http") + "/ws"


def built(http: httpx.Client | httpx.AsyncClient, request: Request, token: str | None) -> httpx.Request:
    """A request as httpx has it, or the `ClientError` that says why it cannot be sent."""
    if token is not None and not re.fullmatch(r"[!-~]([ -~]*[!-~])?", token):
        raise ClientError("this cannot be sent: the API key or token holds what no header can, such as a line's end")
    params = {name: value for name, value in request.params.items() if value is not None}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return http.build_request(request.method, request.path, params=params, json=request.json, headers=headers)
    except (ValueError, TypeError, RecursionError, httpx.InvalidURL) as error:
        raise ClientError(f"this cannot be sent: {error}") from None


def received(response: httpx.Response) -> Answer:
    try:
        json = response.json() if response.content else None
    except ValueError:
        json = None
    return Answer(response.status_code, json, response.headers.get("retry-after"))


def unreachable(base_url: str, error: Exception) -> Unreachable:
    # Raised without its cause: the client's own chain is eighty lines long and says no more.
    return Unreachable(f"no answer from {base_url}: {error or type(error).__name__}")


def read(answer: Answer) -> Any:
    """The answer's JSON, or the `ApiError` that it stands for."""
    if 200 <= answer.status < 300 and (answer.json is not None or answer.status == 204):
        return answer.json
    error = answer.json.get("error") if isinstance(answer.json, dict) else None
    if not isinstance(error, dict):  # not from the API: a proxy in between, or the wrong address
        error = {"message": "The answer is not one of a Peekaping server; check base_url"}
    retry_after = answer.retry_after
    raise ApiError(
        answer.status,
        str(error.get("code", "UNKNOWN")),
        str(error.get("message", "")),
        error.get("details"),
        int(retry_after) if retry_after is not None and retry_after.isdigit() else None,
    )


def is_file(response: httpx.Response) -> bool:
    """Whether this is a file of the server's. What else comes where one was asked for is read like every answer."""
    return response.status_code == 200 and "content-disposition" in response.headers


FILE = Answer(204, None, None)
"""The answer to a request whose file has been written."""


class Session:
    """Who the client is: an API key, or e-mail and password with the tokens got for them, or nobody.

    `token` is a call like the others. The client lets only one run at a time: a refresh token works once, and using it
    twice ends the session.
    """

    def __init__(
        self, api_key: str | None, email: str | None, password: str | None, *, clock: Callable[[], float]
    ) -> None:
        if (email is None) != (password is None) or (api_key is not None and email is not None):
            raise ValueError("give api_key, or email and password, or none of them for pushes alone")
        self._email = email
        self._password = password
        self._clock = clock
        self._access = api_key
        self._refresh: str | None = None
        self._renew_at = 0.0

    @property
    def can_renew(self) -> bool:
        return self._email is not None

    def token(self, rejected: str | None = None) -> Generator[Request, Answer, str | None]:
        """The access token to send (None for nobody), renewed when it is about to end or is the one just rejected."""
        if not self.can_renew:
            return self._access
        if self._access is not None and self._access != rejected and self._clock() < self._renew_at:
            return self._access
        if self._refresh is not None:
            refresh, self._refresh = self._refresh, None
            answer = yield Request("POST", "/auth/refresh", json={"refreshToken": refresh})
            if answer.status == 200:
                return self._take(answer.json)
            if answer.status != 401:
                self._refresh = refresh
                read(answer)
        answer = yield Request("POST", "/auth/login", json={"email": self._email, "password": self._password})
        return self._take(read(answer))

    def _take(self, tokens: JsonObject) -> str:
        access: str = tokens["accessToken"]
        self._access = access
        self._refresh = tokens["refreshToken"]
        lifetime = _lifetime_s(access)
        self._renew_at = self._clock() + lifetime - min(RENEWAL_MARGIN_S, lifetime / 2)
        return access


def _lifetime_s(token: str) -> float:
    """How long a token lives, by the server's own clock: the difference to ours does not matter."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return float(claims["exp"] - claims["iat"])
    except (jwt.InvalidTokenError, KeyError, TypeError):
        return TOKEN_LIFETIME_S
