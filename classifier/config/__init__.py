"""The configuration: what it may say (schema), how it is read (load), what errors look like (toml)."""
