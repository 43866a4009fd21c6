"""Does this model factory still train, how sure are we, and if not, why?

The public names below are loaded when first used; importing the package imports nothing heavy.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "Architecture": "networks.architecture",
    "ConvBlock": "networks.architecture",
    "LayerRow": "networks.architecture",
    "Configuration": "bisection.configuration",
    "bisect": "bisection.bisect",
    "InputError": "errors",
    "VARIANTS": "networks.variants",
    "Variant": "networks.variants",
    "assert_parameter_count": "networks.build",
    "build": "networks.build",
    "create_DeepCAPCHA": "networks.build",
    "fit_to": "networks.build",
    "working_DeepCAPCHA": "networks.build",
    "digit_strips": "networks.digits",
    "load_mnist": "networks.digits",
    "Contracted": "plugin.contracts",
    "parametrize_with_contracts": "plugin.contracts",
    "Examples": "keras.examples",
    "RECIPES": "networks.recipes",
    "Recipe": "networks.recipes",
    "check": "diagnosis.check",
    "Probe": "trials.trial",
    "Trial": "trials.trial",
    "run_trial": "trials.trial",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
