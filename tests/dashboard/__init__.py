"""The page's server: who may speak to it, what it serves, and what is left when it ends."""
