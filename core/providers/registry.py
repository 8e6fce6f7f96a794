"""All providers by key, in the order in which they are shown where no key is set."""

from __future__ import annotations

from .contract import Features, Provider
from .vendors import airefinery, custom, fal, imagineo, moark, segmind

PROVIDERS: dict[str, Provider] = {
    module.PROVIDER.key: module.PROVIDER
    for module in (fal, imagineo, airefinery, segmind, moark, custom)
}


def variant_title(provider: Provider, variant: str) -> str:
    """How messages and tables name a provider, or one endpoint of it."""
    return f"{provider.title} ({variant})" if variant else provider.title


def who_can(feature: str) -> list[str]:
    """Titles of all providers and endpoints with a capability (a field of Features)."""
    if feature not in Features.__dataclass_fields__:
        raise KeyError(feature)
    return [
        variant_title(provider, variant)
        for provider in PROVIDERS.values()
        for variant, features in provider.variants.items()
        if getattr(features, feature)
    ]
