"""`python -m deepcaptcha`."""

import sys

from .cli import main

sys.exit(main())
