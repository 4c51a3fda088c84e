"""``python -m topicgen``."""

import sys

from topicgen.cli import main

sys.exit(main())
