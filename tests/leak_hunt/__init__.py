"""The leak hunt: values are planted, misbehaving workers get them, and every byte that is left is searched."""
