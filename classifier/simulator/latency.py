"""How long a simulated model takes: drawn, reproducible, and nothing to do with any vendor."""

from __future__ import annotations

from random import Random

from classifier.simulator.config import Latency


class LatencyModel:
    """Draws times; it neither sleeps nor looks at a clock.

    Promise: the same seed and the same calls in the same order draw the same times.
    """

    def __init__(self, config: Latency, random: Random) -> None:
        self._config = config
        self._random = random
        self._cold_calls = config.slow_start_calls
        self._last_call_s: float | None = None

    def draw_s(self, input_tokens: int, output_tokens: int, now_s: float) -> float:
        """Seconds for one answer; `now_s` is any clock that only goes forward."""
        seconds = self.median_s(input_tokens, output_tokens) * self._spread() * self._warm_up(now_s)
        return seconds + self._stall_s()

    def median_s(self, input_tokens: int, output_tokens: int) -> float:
        """What half of the answers stay under once the model is warm, its tail left aside."""
        config = self._config
        prefill_ms = config.per_input_token_us * input_tokens / 1_000
        return (config.base_ms + prefill_ms + config.per_output_token_ms * output_tokens) / 1_000

    def _spread(self) -> float:
        factor = self._random.lognormvariate(0.0, self._config.sigma)
        return factor * self._config.slow_factor if self._hits(self._config.slow_share) else factor

    def _stall_s(self) -> float:
        return self._config.stall_ms / 1_000 if self._hits(self._config.stall_share) else 0.0

    def _hits(self, share: float) -> bool:
        return self._random.random() < share

    def _warm_up(self, now_s: float) -> float:
        if self._last_call_s is not None and now_s - self._last_call_s > self._config.idle_s:
            self._cold_calls = self._config.slow_start_calls
        self._last_call_s = now_s
        if self._cold_calls == 0:
            return 1.0
        self._cold_calls -= 1
        return self._config.slow_start_factor
