"""The name of an optional library in, the imported module out."""

from importlib import import_module
from types import ModuleType

from topicgen.errors import UserError


def require(module: str, extra: str) -> ModuleType:
    """Imports a module that only an extra of topicgen installs.

    Args:
        module: The module's full name, such as ``sklearn.feature_extraction.text``.
        extra: The extra that brings it.

    Raises:
        UserError: When the library is not installed, with the command that installs it. An installed library that
            fails to import something else raises its own ImportError, which names what is missing.
    """
    library = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise UserError(f"{library} needs the extra {extra!r}: pip install 'topicgen[{extra}]'") from None
