"""`locust -f loadtests/locustfile.py --headless`: one scenario by LOAD_* variables, alone or distributed.

Master and workers read the same variables; `--expect-workers N` says over how many it is spread.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # wherever it was started from

from loadtests.helpdesk import Helpdesk

__all__ = ["Helpdesk"]
