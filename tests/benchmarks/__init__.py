"""How fast and how light it is: each figure beside a yardstick that is measured in the same run."""
