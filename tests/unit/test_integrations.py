"""The integrations are there for those who install what they integrate, and cost nobody else anything."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import zkdiscovery, zkdiscovery.client, zkdiscovery.integrations
import zkdiscovery.integrations.names
print([name for name in ("httpx", "requests", "aiohttp", "urllib3") if name in sys.modules])
"""


def test_importing_the_sdk_imports_no_http_library() -> None:
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout.strip() == "[]"
