"""Errors as OpenAI words them: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import msgspec

from classifier.simulator.asgi import Answer, Headers


class Refused(Exception):
    """The request gets an error instead of an answer."""

    def __init__(
        self, status: int, message: str, *, kind: str = "", code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind or "invalid_request_error"
        self.code = code

    def answer(self, headers: Headers = (), took_s: float = 0.0) -> Answer:
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        body = msgspec.json.encode({"error": error})
        return Answer(self.status, body, headers=headers, took_s=took_s)


def unknown_model(model: str) -> Refused:
    message = f"The model `{model}` does not exist or is not offered on this endpoint. (simulated)"
    return Refused(404, message, code="model_not_found")
