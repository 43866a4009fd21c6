"""Does this model factory still train, how sure are we, and if not, why?

The public names below are loaded when first used; importing the package imports nothing heavy.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "Architecture": "architecture",
    "ConvBlock": "architecture",
    "LayerRow": "architecture",
    "Configuration": "configuration",
    "bisect": "bisection",
    "InputError": "errors",
    "VARIANTS": "variants",
    "Variant": "variants",
    "assert_parameter_count": "factory",
    "build": "factory",
    "create_DeepCAPCHA": "factory",
    "fit_to": "factory",
    "working_DeepCAPCHA": "factory",
    "digit_strips": "data",
    "load_mnist": "data",
    "Contracted": "contracted",
    "parametrize_with_contracts": "contracts",
    "Examples": "examples",
    "RECIPES": "recipe",
    "Recipe": "recipe",
    "check": "preflight",
    "Probe": "trial",
    "Trial": "trial",
    "run_trial": "trial",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
