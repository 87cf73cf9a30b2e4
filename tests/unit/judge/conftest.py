"""Of the judge's tests: they share `judged_cells`, which stands beside them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
