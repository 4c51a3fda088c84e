"""A template and data in, a page that stands alone out: inert data, and a policy that allows inline code by hash."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from topicgen.extras import require

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


def render(
    name: str,
    data: object,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    *,
    parts: Sequence[str] = (),
    extra: str = "evaluate",
    **values: object,
) -> str:
    """The template ``name.html`` with its ``name.js`` and ``name.css`` inside, and ``data`` for the script.

    ``parts`` are further scripts that come before ``name.js``, in one element with it.

    Raises:
        UserError: When the library jinja2 is missing; ``extra`` is named as what brings it.
    """
    jinja2 = require("jinja2", extra)
    folder = files("topicgen") / "templates"
    scripts = [(folder / f"{part}.js").read_text(encoding="utf-8").strip() for part in (*parts, name)]
    script, style = "\n".join(scripts), (folder / f"{name}.css").read_text(encoding="utf-8").strip()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("topicgen", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= filters or {}
    policy = csp([script], [style])
    page: str = environment.get_template(f"{name}.html").render(
        policy=policy, script=script, style=style, data=safe_json(data), **values
    )
    return page


def _sources(texts: Iterable[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
