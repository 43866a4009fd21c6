"""`python -m tests.confusion [held-out]`: the pre-flight check's confusion matrix on planted cases."""

import sys
import time

from deepcaptcha import environment
from deepcaptcha.preflight import check

from .planted import CASES


def main(halves):
    keras = environment.load_keras()
    for case in CASES:
        if case.held_out not in halves:
            continue
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        model, data = case.make()
        start = time.perf_counter()
        found = check(model, **data)
        seconds = time.perf_counter() - start
        codes = [f"{f.code}{'!' * (f.severity == 'error')}={f.value:.3g}" for f in found]
        errors = [f.code for f in found if f.severity == "error"]
        right = not errors if case.expect is None else case.expect in [f.code for f in found]
        print(
            f"{'ok ' if right else 'BAD'} {seconds:4.1f} {case.name:<48} {', '.join(codes)}",
            flush=True,
        )


if __name__ == "__main__":
    main({"held-out": {True}, "all": {False, True}}.get((sys.argv[1:] or [""])[0], {False}))
