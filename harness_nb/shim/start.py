"""Where a shim begins: makes this folder a package of the isolated Python, which looks for nothing by itself."""

import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

if __name__ == "__main__":
    __import__("shim.main", fromlist=["main"]).main()
