"""`python -m deepcaptcha`."""

import sys

from .cli.main import main

sys.exit(main())
