"""Until every module that interrupts processes imports `tests.helpers`."""

from tests.helpers import interrupt, interruptible

__all__ = ["interrupt", "interruptible"]
