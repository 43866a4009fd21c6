"""Does this model still train, how sure are we, and if not, why?

The public names below are loaded when first used; importing the package imports nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.3.0"

_HOME = {
    "Architecture": "networks.architecture",
    "ConvBlock": "networks.architecture",
    "LayerRow": "networks.architecture",
    "VARIANTS": "networks.variants",
    "Variant": "networks.variants",
    "assert_parameter_count": "networks.build",
    "build": "networks.build",
    "create_DeepCAPCHA": "networks.build",
    "working_DeepCAPCHA": "networks.build",
    "digit_strips": "networks.digits",
    "load_mnist": "networks.digits",
    "RECIPES": "networks.recipes",
    "Recipe": "networks.recipes",
    "Target": "trials.trial",
    "Trial": "trials.trial",
    "FunctionSource": "trials.source",
    "Source": "trials.source",
    "Runner": "trials.runner",
    "Examples": "keras.data",
    "Probe": "keras.fit",
    "KerasSource": "keras.source",
    "Training": "keras.settings",
    "Claim": "verdicts.claim",
    "Contracted": "plugin.contracts",
    "parametrize_with_contracts": "plugin.contracts",
    "Convergence": "plugin.judging",
    "bisect": "bisection.bisect",
    "check": "diagnosis.check",
    "repair": "repairs.search",
    "Finding": "finding",
    "InputError": "errors",
}

__all__ = list(_HOME)

# The same names for those who read the package without running it: mypy, and an IDE that completes.
if TYPE_CHECKING:
    from .bisection.bisect import bisect as bisect
    from .diagnosis.check import check as check
    from .errors import InputError as InputError
    from .finding import Finding as Finding
    from .keras.data import Examples as Examples
    from .keras.fit import Probe as Probe
    from .keras.settings import Training as Training
    from .keras.source import KerasSource as KerasSource
    from .networks.architecture import Architecture as Architecture
    from .networks.architecture import ConvBlock as ConvBlock
    from .networks.architecture import LayerRow as LayerRow
    from .networks.build import assert_parameter_count as assert_parameter_count
    from .networks.build import build as build
    from .networks.build import create_DeepCAPCHA as create_DeepCAPCHA
    from .networks.build import working_DeepCAPCHA as working_DeepCAPCHA
    from .networks.digits import digit_strips as digit_strips
    from .networks.digits import load_mnist as load_mnist
    from .networks.recipes import RECIPES as RECIPES
    from .networks.recipes import Recipe as Recipe
    from .networks.variants import VARIANTS as VARIANTS
    from .networks.variants import Variant as Variant
    from .plugin.contracts import Contracted as Contracted
    from .plugin.contracts import parametrize_with_contracts as parametrize_with_contracts
    from .plugin.judging import Convergence as Convergence
    from .repairs.search import repair as repair
    from .trials.runner import Runner as Runner
    from .trials.source import FunctionSource as FunctionSource
    from .trials.source import Source as Source
    from .trials.trial import Target as Target
    from .trials.trial import Trial as Trial
    from .verdicts.claim import Claim as Claim
else:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
