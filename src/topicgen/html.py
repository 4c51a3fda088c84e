"""What a page that stands alone needs: JSON that is inert inside HTML, a policy that allows inline code by hash."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable

_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def safe_json(data: object) -> str:
    """``data`` as JSON for a ``<script>`` element: no character of it can end the element or start another.

    Lone surrogates are escaped too, since UTF-8 cannot hold them. Raises ValueError for NaN and infinities, which a
    browser's ``JSON.parse`` refuses.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def csp(scripts: Iterable[str] = (), styles: Iterable[str] = ()) -> str:
    """A policy that allows these inline scripts and styles by their hash, and nothing else: no network, no frames."""
    allowed = [f"script-src {_sources(scripts)}", f"style-src {_sources(styles)}"]
    return "; ".join(["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"])


def _sources(texts: Iterable[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
