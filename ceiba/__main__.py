"""`python -m ceiba` is `ceiba`."""

import sys

from ceiba.cli import main

sys.exit(main())
