"""Small questions to a span."""

from opentelemetry.sdk.trace import ReadableSpan


def attribute(span: ReadableSpan | None, name: str) -> object:
    return (span.attributes or {}).get(name) if span is not None else None


def since(zero: int, moment: int | None) -> float | None:
    """Nanoseconds since the epoch as seconds since `zero`."""
    return None if moment is None else (moment - zero) / 1e9
