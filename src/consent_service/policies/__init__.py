"""The school's policy, as data: the catalogue in YAML and, beside it, the text that it was taken from."""

from importlib import resources

from consent_service.core.policy import Policy
from consent_service.core.policy_file import parse

SHIPPED = "injoy-2026-11-01.yaml"
SOURCE = "injoy-2026-11-01.txt"


def shipped() -> Policy:
    """The school's policy, held against its source text."""
    text = (resources.files(__name__) / SHIPPED).read_text(encoding="utf-8")
    return parse(text, name=SHIPPED, source_text=shipped_source())


def shipped_source() -> bytes:
    """The text that the school's policy was taken from."""
    return (resources.files(__name__) / SOURCE).read_bytes()
