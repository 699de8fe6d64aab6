"""`[ledger]`: what is kept about classifications and corrections, and for how long."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from classifier.config.section import Section


class Ledger(Section, frozen=True, kw_only=True):
    """Classifications and corrections, in a file under CLASSIFIER_DATA_DIR; without that, none."""

    retention_days: Annotated[
        float, Meta(gt=0, le=3_650, description="older records are deleted, once an hour")
    ] = 90.0
    store_text: Annotated[
        bool,
        Meta(
            description="keep the tickets' text too: training sets need it, privacy may forbid it"
        ),
    ] = False
    waiting: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="records that may wait to be written; beyond it they are dropped and counted",
        ),
    ] = 10_000
